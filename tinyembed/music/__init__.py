"""From MIDI files and scores to batches of units. Independent of layers and models."""
