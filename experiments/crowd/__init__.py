"""Annotators who disagree: what survives of their tastes in the pure loop."""
