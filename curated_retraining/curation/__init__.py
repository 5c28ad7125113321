"""Curation: who is kept of a pool that has been scored."""

from curated_retraining.curation.choices import crowd, luce, pairwise
from curated_retraining.curation.groups import inverse_propensity, k_way, rounds
from curated_retraining.curation.weights import everything, quota, threshold, tilt, top_fraction

__all__ = [
    "crowd",
    "everything",
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
