"""Preference optimisation beside curated retraining, on the same reward."""
