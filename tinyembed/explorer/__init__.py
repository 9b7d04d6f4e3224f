"""One HTML page to see and hear a corpus: a map of its units, their notes, sound and neighbours."""
