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
    spread: Array  # [g, g], covariance of g over samples
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
    away = seen.before - found[None]  # first, so that rounding makes no variance negative where curation leaves little
    influence = jax.vmap(lambda one: pull(one)[0])(jnp.eye(found.shape[0], dtype=found.dtype))  # [g, n]
    return Curated(found, away.T @ (weight[:, None] * away), jnp.cov(influence, bias=True) / n)


def distance(seen: Seen, of: Curated, share: Array, fitted_to: Array) -> Array:
    """Squared distance in standard errors, `[]`: χ² of as many degrees as functions are alive, at the true values.

    `share` is η. A mean of g over generation t + 1 varies by what the model itself says that g does (as in a score
    test), and by the choice of the `fitted_to` curated points that the learner saw.
    """
    real, real_spread = seen.real.mean(axis=0), jnp.cov(seen.real.T, bias=True)
    apart = of.mean - real
    spread = (1 - share) * real_spread + share * of.spread + share * (1 - share) * jnp.outer(apart, apart)
    error = (
        spread / seen.after.shape[0]
        + (1 - share) ** 2 * real_spread / seen.real.shape[0]
        + share**2 * (of.error + of.spread / fitted_to)
    )
    least = 1e-5 * jnp.trace(error)  # what varies less is rounding, or a function that is not alive
    away = seen.after.mean(axis=0) - real - share * apart
    return away @ jnp.linalg.solve(error + least * jnp.eye(len(away), dtype=error.dtype), away)


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
