"""Forecasts of a user's own loop, from files."""
