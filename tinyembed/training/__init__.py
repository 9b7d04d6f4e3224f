"""From examples to weights: the training loop and its files."""
