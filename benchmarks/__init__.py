"""Timings against what one would otherwise write: `python -m benchmarks` prints a table."""
