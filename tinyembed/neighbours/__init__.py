"""Nearest-neighbour search by cosine: exact, or approximate and faster with faiss."""
