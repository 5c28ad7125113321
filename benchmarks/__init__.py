"""Timings against what one would otherwise write: `python -m benchmarks.step` prints a table."""
