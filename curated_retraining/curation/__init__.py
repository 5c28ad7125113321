"""Curation: who is kept of a pool that has been scored."""

from curated_retraining.curation.choices import crowd, luce, pairwise
from curated_retraining.curation.groups import k_way, rounds
from curated_retraining.curation.weights import everything, threshold, tilt, top_fraction

__all__ = ["crowd", "everything", "k_way", "luce", "pairwise", "rounds", "threshold", "tilt", "top_fraction"]
