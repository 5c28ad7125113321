"""Curation: who is kept of a pool that has been scored."""

from curated_retraining.curation.choices import crowd, flipped, luce, pairwise
from curated_retraining.curation.groups import inverse_propensity, k_way, rounds
from curated_retraining.curation.weights import crowd_tilt, everything, quota, threshold, tilt, top_fraction

__all__ = [
    "crowd",
    "crowd_tilt",
    "everything",
    "flipped",
    "inverse_propensity",
    "k_way",
    "luce",
    "pairwise",
    "quota",
    "rounds",
    "threshold",
    "tilt",
    "top_fraction",
]
