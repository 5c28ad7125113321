"""Curation: who is kept of a pool that has been scored."""
