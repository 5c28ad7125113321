"""Curation by weight: all points stay, and count as much as they are wanted."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from curated_retraining import data
from curated_retraining.curation.choices import log_preference, of_types, single, types_of_annotators
from curated_retraining.types import SLACK, Array, Curator, Dataset, floating, lift, of_classes, require


def tilt(temperature: float | Array = 1.0) -> Curator:
    """Weights all points in proportion to `exp(reward / temperature)`, at zero the best only: `k_way` for K → ∞."""
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    return Partial(_tilt, temperature)


def crowd_tilt(
    fractions: ArrayLike | tuple[ArrayLike, ...],
    temperatures: ArrayLike | tuple[ArrayLike, ...] = 1.0,
    lapses: ArrayLike | tuple[ArrayLike, ...] = 0.0,
) -> Curator:
    """Weights all points by Σ_u q_u times the `tilt` of each type: `k_way` of a `crowd`, which see, for K → ∞."""
    return Partial(_crowd_tilt, *types_of_annotators(fractions, temperatures, lapses))


def top_fraction(share: float | Array) -> Curator:
    """Keeps the best `share` in (0, 1] of the pool, by weight; points that tie at the edge share what is left evenly.

    A reward that is NaN makes the weights NaN, here and in `threshold`: seen in effective_size.
    """
    require("share", share, lambda q: (q > 0) & (q <= 1), "is not a share to keep: take a number in (0, 1]")
    return Partial(_top_fraction, share)


def threshold(least: float | Array) -> Curator:
    """Keeps the points whose reward is at least `least`, by weight; shapes stay fixed."""
    return Partial(_threshold, least)


def quota(
    curate: Curator, label: Callable[[Array], Array], shares: ArrayLike, strength: float | Array = 1.0
) -> Curator:
    """`curate` with its points reweighted so that each class has its share: proportions within a class stay.

    A class that `curate` gives the weight W_c gets one in proportion to W_c^{1−m} s_c^m, for the strength m: exactly
    s_c at 1, W_c at 0 (`theory.rebalance`). Where a class is due a share and none of its points was kept, or a point is
    of no class, the weights are NaN, which the driver refuses. Shares and strength are data: they may be traced.

    Args:
        label: `[n, *event]` -> classes, integers `[n]` from 0.
        shares: s `[classes]`, positive and summing to one.
        strength: m in [0, 1].
    """
    shares = jnp.asarray(shares, float)
    require("shares", shares, lambda s: s > 0, "leave a class out: take positive numbers, and curate by class for that")
    require("shares", shares, lambda s: abs(s.sum() - 1) < SLACK, "do not sum to 1: divide by their sum")
    require("strength", strength, lambda m: (m >= 0) & (m <= 1), "is not a strength: take a number in [0, 1]")
    return Partial(_quota, lift(curate), lift(label), shares, strength)


def everything() -> Curator:
    """Keeps the whole pool, evenly: retraining without curation."""
    return lift(_everything)


def _tilt(temperature, key, pool, reward):
    del key
    return Dataset(pool, jax.nn.softmax(log_preference(reward, temperature)))


def _crowd_tilt(shares, temperatures, key, pool, reward):
    del key
    rewards = of_types(reward, shares)
    tilts = jax.vmap(lambda one, t: jax.nn.softmax(log_preference(one, t)), in_axes=(1, 0))(rewards, temperatures)
    return Dataset(pool, shares @ tilts)


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
    kept = (single(reward) >= least).astype(floating(reward).dtype)
    total = kept.sum()
    told = (total > 0) & ~jnp.isnan(reward).any()
    return Dataset(pool, jnp.where(told, kept / total, jnp.nan))  # nobody kept: seen in effective_size


def _quota(curate, label, shares, strength, key, pool, reward):
    x, weight = curate(key, pool, reward)
    of_class = of_classes(label, x, shares.shape[0])  # [n, classes]
    held = weight @ of_class
    factor = (shares / jnp.where(held > 0, held, 1.0)) ** strength
    total = jnp.sum(held * factor)
    lost = jnp.any(held <= 0) & (strength > 0) | jnp.any(of_class.sum(axis=1) == 0)
    return Dataset(x, jnp.where(lost, jnp.nan, weight * (of_class @ factor) / total))


def _everything(key, pool, reward):
    del key, reward
    return data.uniform(pool)
