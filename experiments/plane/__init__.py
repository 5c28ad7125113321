"""Experiments in the plane: targets of known density, so that the exact population course can be drawn."""
