"""Curated retraining of a generator of images."""
