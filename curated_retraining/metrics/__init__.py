"""Metrics: what a generation reports of itself, `Generation -> dict`.

Each describes the pool, the samples of the model before its refit. `join` puts several together. Numbers and short
vectors become columns of `metrics.csv`; larger arrays stay in the history.
"""

from curated_retraining.metrics.frechet import Moments, frechet, moments
from curated_retraining.metrics.neighbours import (
    Neighbours,
    density_coverage,
    memorisation,
    neighbours,
    prdc,
    precision_recall,
)
from curated_retraining.metrics.pool import (
    effective_size,
    entropy,
    join,
    kl_on_grid,
    kl_to_sample,
    mmd,
    proportions,
    reward_moments,
    reward_quantiles,
    snapshot,
    top_mass,
)
from curated_retraining.metrics.sliced import sliced_wasserstein

__all__ = [
    "Moments",
    "Neighbours",
    "density_coverage",
    "effective_size",
    "entropy",
    "frechet",
    "join",
    "kl_on_grid",
    "kl_to_sample",
    "memorisation",
    "mmd",
    "moments",
    "neighbours",
    "prdc",
    "precision_recall",
    "proportions",
    "reward_moments",
    "reward_quantiles",
    "sliced_wasserstein",
    "snapshot",
    "top_mass",
]
