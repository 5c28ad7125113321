"""Flax networks; they know nothing of the loop."""
