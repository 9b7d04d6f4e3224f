"""NumPy in blocks and on several threads."""
