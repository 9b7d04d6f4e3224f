"""Measurements: one question per file, `python -m benchmarks.NAME`."""
