"""Fréchet distance between the features of a pool and of real points."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.metrics.chunks import CHUNK, checked, extract, in_float64
from curated_retraining.types import Array, Metrics, Static, lift


class Moments(NamedTuple):
    """Mean and symmetric root of the covariance (divisor n − 1) of features.

    The root and not the covariance: rounding it to float32 moves the root of the Fréchet distance by no more than 1e-7
    of that of the trace, however small some eigenvalues are.
    """

    mean: Array  # [d]
    root: Array  # [d, d]


def moments(features: Callable[[Array], Array], real: Array, chunk: int = CHUNK) -> Moments:
    """`Moments` of `features` (`[n, *event]` to `[n, d]`, for `chunk` points at a time) of `real` `[m, *event]`."""
    return in_float64(_rooted)(extract(lift(features), real, chunk))


def frechet(features: Callable[[Array], Array], reference: Moments, chunk: int = CHUNK) -> Metrics:
    """`frechet_distance` |m − m'|² + tr(S + S' − 2 (S'^½ S S'^½)^½) of the pool's features and `reference`.

    The squared 2-Wasserstein distance of two normal distributions (Dowson and Landau 1982), in squared units of the
    features. `features` maps `[n, *event]` to `[n, d]`, `chunk` points at a time; beside it this needs n · d + 4 d²
    float64 numbers. Moments and eigenvalues are float64 whatever the precision of the features: singular covariances
    cost about 1e-8 of the largest eigenvalue a dimension, everything else is rounding of the features.
    """
    return Partial(_frechet, lift(features), reference, Static(checked(chunk)))


def _frechet(features, reference: Moments, chunk: Static, record):
    feature = extract(features, record.pool, chunk.value)
    if feature.shape[1:] != reference.mean.shape:
        raise ValueError(
            f"the pool has {feature.shape[1]} features and reference {reference.mean.shape[0]}: take the same features"
        )
    return {"frechet_distance": in_float64(_distance)(feature, reference)}


def _rooted(feature):
    mean, covariance = _moments(feature)
    value, vector = jnp.linalg.eigh(covariance)
    root = (vector * _root(value)[None]) @ vector.T
    return Moments(mean.astype(feature.dtype), root.astype(feature.dtype))


def _distance(feature, reference: Moments):
    mean, covariance = _moments(feature)
    root = reference.root.astype(jnp.float64)
    between = _root(jnp.linalg.eigvalsh(root @ covariance @ root)).sum()
    shift = jnp.sum((mean - reference.mean.astype(jnp.float64)) ** 2)
    return (shift + jnp.trace(covariance) + jnp.sum(root**2) - 2 * between).astype(feature.dtype)


def _moments(feature):
    if feature.shape[0] < 2:
        raise ValueError(f"{feature.shape[0]} points have no covariance: take 2 or more")
    feature = feature.astype(jnp.float64)
    mean = feature.mean(axis=0)
    centred = feature - mean[None]
    return mean, centred.T @ centred / (feature.shape[0] - 1)


def _root(value):
    """Square roots of eigenvalues; rounding makes some of those that are zero negative."""
    return jnp.sqrt(jnp.maximum(value, 0))
