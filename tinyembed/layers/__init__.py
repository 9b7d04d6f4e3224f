"""The layers of the network, one a file, forward above backward. Layers know no music."""
