"""How far samples of two generations are from what curation would make of the first, for given K, τ and λ.

The distance is Hansen's of the means of a few bounded functions g of the reward. The exact operator predicts them from
the samples of generation t, p_{t+1} g = (1 − η) p_ref g + η p_t (g H^K_{p_t}) with η = λ / (1 + λ); H of a sample errs
with it, and by how much follows from the derivative of p ↦ p (g H^K_p), since a sample's mass is 1 / n.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.theory.operator import Operator
from curated_retraining.types import Array

ORDER = 5  # functions of the reward


class Seen(NamedTuple):
    """The functions g at the samples, uncorrelated and of variance one over all of them."""

    reward: Array  # [n], of generation t
    before: Array  # [n, g], of generation t
    after: Array  # [m, g], of generation t + 1
    real: Array  # [q, g]
    alive: Array  # [g], false where the rewards have too few levels to tell a function from the others


class Curated(NamedTuple):
    """What curation makes of generation t, as its samples tell."""

    mean: Array  # [g], of g
    square: Array  # [g, g], mean of g gᵀ
    error: Array  # [g, g], covariance of `mean` from one data set to another


def seen(before: Array, after: Array, real: Array) -> Seen:
    """Legendre polynomials of the rank among all samples, whitened: bounded, and the same for any unit of reward."""
    pooled = jnp.sort(jnp.concatenate([before, after, real]))
    values = _legendre(_rank(pooled, pooled))
    centre = values.mean(axis=0)
    size, axes = jnp.linalg.eigh(jnp.cov(values.T, bias=True))
    alive = size > 1e-4 * size.max()
    whiten = axes * jnp.where(alive, 1 / jnp.sqrt(jnp.where(alive, size, 1.0)), 0.0)[None]

    def of(reward):
        return (_legendre(_rank(pooled, reward)) - centre[None]) @ whiten

    return Seen(before, of(before), of(after), of(real), alive)


def curated(seen: Seen, operator: Operator, k: Array) -> Curated:
    """Means of g after curation of generation t by K and the `operator` of its rewards at some τ, and their errors."""
    n = seen.reward.shape[0]

    def mean(p):
        weight = p * operator(p, k)
        return weight @ seen.before, weight

    found, pull, weight = jax.vjp(mean, jnp.full(n, 1 / n, seen.reward.dtype), has_aux=True)
    influence = jax.vmap(lambda one: pull(one)[0])(jnp.eye(found.shape[0], dtype=found.dtype))  # [g, n]
    return Curated(found, seen.before.T @ (weight[:, None] * seen.before), jnp.cov(influence, bias=True) / n)


def distance(seen: Seen, of: Curated, share: Array, fitted_to: Array) -> Array:
    """Squared distance in standard errors, `[]`: χ² of as many degrees as functions are alive, at the true values.

    `share` is η. A mean of g over generation t + 1 varies by what the model itself says that g does (as in a score
    test), and by the choice of the `fitted_to` curated points that the learner saw.
    """
    real = seen.real.mean(axis=0)
    mean = (1 - share) * real + share * of.mean
    square = (1 - share) * (seen.real.T @ seen.real) / seen.real.shape[0] + share * of.square
    error = (
        (square - jnp.outer(mean, mean)) / seen.after.shape[0]
        + (1 - share) ** 2 * jnp.cov(seen.real.T, bias=True) / seen.real.shape[0]
        + share**2 * (of.error + (of.square - jnp.outer(of.mean, of.mean)) / fitted_to)
    )
    away = seen.after.mean(axis=0) - mean
    return away @ jnp.linalg.solve(jnp.where(jnp.outer(seen.alive, seen.alive), error, jnp.eye(len(mean))), away)


def _rank(pooled: Array, reward: Array) -> Array:
    """The share of all samples below, ties counted by half, from −1 to 1."""
    below, up_to = (jnp.searchsorted(pooled, reward, side=side) for side in ("left", "right"))
    return (below + up_to).astype(pooled.dtype) / pooled.shape[0] - 1


def _legendre(x: Array) -> Array:
    """The polynomials of degree 1 to ORDER at `x` `[n]`: `[n, g]`."""
    values = [jnp.ones_like(x), x]
    for degree in range(1, ORDER):
        values.append(((2 * degree + 1) * x * values[-1] - degree * values[-2]) / (degree + 1))
    return jnp.stack(values[1:], axis=-1)
