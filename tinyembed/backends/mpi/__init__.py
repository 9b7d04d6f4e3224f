"""Training over several processes: what they exchange, and nothing of what they compute."""
