"""Curation: who is kept of a pool that has been scored."""

from curated_retraining.curation.choices import crowd, flipped, luce, pairwise
from curated_retraining.curation.groups import k_way, rounds
from curated_retraining.curation.weights import crowd_tilt, everything, threshold, tilt, top_fraction

__all__ = [
    "crowd",
    "crowd_tilt",
    "everything",
    "flipped",
    "k_way",
    "luce",
    "pairwise",
    "rounds",
    "threshold",
    "tilt",
    "top_fraction",
]
