"""Strategies of curation compared."""
