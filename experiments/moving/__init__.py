"""Tastes that move."""
