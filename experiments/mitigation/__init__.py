"""Mitigation of the bias that curation brings compared."""
