"""An NVIDIA GPU by CuPy."""
