"""One page to see and hear a corpus in: a map of its units, what they sound like, what is alike."""
