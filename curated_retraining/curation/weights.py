"""Curation by weight: all points stay, and count as much as they are wanted."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining import data
from curated_retraining.curation.choices import log_preference, single
from curated_retraining.types import Array, Curator, Dataset, lift, require


def tilt(temperature: float | Array = 1.0) -> Curator:
    """Weights all points in proportion to `exp(reward / temperature)`, zero the best only: `k_way` for K → ∞."""
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    return Partial(_tilt, temperature)


def top_fraction(share: float | Array) -> Curator:
    """Keeps the best `share` of the pool, by weight; points that tie at the edge share what is left evenly.

    A reward that is NaN makes the weights NaN, here and in `threshold`: seen in effective_size.
    """
    require("share", share, lambda q: (q > 0) & (q <= 1), "is not a share to keep: take a number in (0, 1]")
    return Partial(_top_fraction, share)


def threshold(least: float | Array) -> Curator:
    """Keeps the points whose reward is at least `least`, by weight; shapes stay fixed."""
    return Partial(_threshold, least)


def everything() -> Curator:
    """Keeps the whole pool, evenly: retraining without curation."""
    return lift(_everything)


def _tilt(temperature, key, pool, reward):
    del key
    return Dataset(pool, jax.nn.softmax(log_preference(reward, temperature)))


def _top_fraction(share, key, pool, reward):
    del key
    n = pool.shape[0]
    best_first, order = jax.lax.sort((-single(reward), jnp.arange(n)), num_keys=1)
    quota = share * n  # in points, not whole
    edge = best_first[jnp.ceil(quota).astype(int) - 1]
    # Compared among what was sorted: XLA may compute `reward` a second time, rounded otherwise, and ties would break.
    above, tied = (best_first < edge), (best_first == edge)
    kept = above + tied * (quota - above.sum()) / tied.sum()
    weight = jnp.zeros_like(kept).at[order].set(kept / quota)
    return Dataset(pool, jnp.where(jnp.isnan(reward).any(), jnp.nan, weight))


def _threshold(least, key, pool, reward):
    del key
    kept = (single(reward) >= least).astype(reward.dtype)
    total = kept.sum()
    told = (total > 0) & ~jnp.isnan(reward).any()
    return Dataset(pool, jnp.where(told, kept / total, jnp.nan))  # nobody kept: seen in effective_size


def _everything(key, pool, reward):
    del key, reward
    return data.uniform(pool)
