"""K = ∞: each generation tilts by e^r, as KL-regularised preference optimisation does (Ferbach et al. 2024)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.theory.dynamics import curated_share, real_share
from curated_retraining.theory.roots import bisected
from curated_retraining.types import Array, floating, require


class Implied(NamedTuple):
    """The KL-regularised optimum that a distribution is closest to."""

    beta: Array  # [], the temperature of the regulariser; inf where nothing has been gained
    distance: Array  # [], nats


def rlhf_optimum(p_0: Array, r: Array, beta: Array | float) -> Array:
    """The maximiser of E_p[r] − β KL(p ‖ p_0): p_0 e^{r/β} normalised, `[s]`, for β > 0.

    The pure loop at K = ∞ and temperature τ is there after t generations, with β = τ / t.
    """
    require("beta", beta, lambda b: b > 0, "is not a temperature of the regulariser: take a positive number")
    p_0, r = floating(p_0), floating(r)
    gap = jnp.where(p_0 > 0, r - jnp.where(p_0 > 0, r, -jnp.inf).max(), 0.0)  # so that however small a β fits
    return jax.nn.softmax(jnp.where(p_0 > 0, jnp.log(jnp.where(p_0 > 0, p_0, 1.0)) + gap / beta, -jnp.inf))


def implied_rlhf(p: Array, p_0: Array, r: Array) -> Implied:
    """The β whose optimum has the mean reward of `p`, which is the nearest one, and KL(p ‖ that optimum).

    Minimising KL(p ‖ p_0 e^{θr} / Z) over θ = 1/β matches E[r] (the information projection). `p` needs mass below its
    best level; β lies within ±1e4 ranges of r.
    """
    shifted = r - jnp.where(p_0 > 0, r, -jnp.inf).max()
    scale = -jnp.where(p_0 > 0, shifted, 0.0).min()
    unit = shifted / jnp.where(scale > 0, scale, 1.0)  # in [−1, 0]
    log_p_0 = jnp.where(p_0 > 0, jnp.log(jnp.where(p_0 > 0, p_0, 1.0)), -jnp.inf)

    def log_tilted(theta):
        return jax.nn.log_softmax(log_p_0 + theta * unit)

    def excess(theta):
        return jnp.exp(log_tilted(theta)) @ unit - p @ unit

    end = jnp.asarray(1e4, p.dtype)
    low, high = jax.lax.stop_gradient(bisected(lambda theta: excess(theta) < 0, (-end, end), 64))
    theta = (low + high) / 2
    slope = jax.lax.stop_gradient(jax.grad(excess)(theta))
    theta = theta - jnp.where(slope > 0, excess(theta) / jnp.where(slope > 0, slope, 1.0), 0.0)  # carries derivatives
    log_ratio = jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)) - jnp.where(p > 0, log_tilted(theta), 0.0), 0.0)
    return Implied(jnp.where(scale > 0, scale / theta, jnp.inf), p @ log_ratio)


def tilt_limit(p_ref: Array, r: Array, *, lam: Array | float) -> Array:
    """The limit of the loop with real data at K = ∞ in closed form, `[s]`; λ = #curated / #real < ∞.

    p = (1 − η) p_ref Z / (Z − η a), with Z > η max a the root of E_ref[(1 − η) a / (Z − η a)] = 1, where η = λ/(1+λ).
    On a finite support it always exists; `condensed_mass` says when a continuous one leaves mass at its best point.
    """
    require("lam", lam, lambda v: (v >= 0) & (v < jnp.inf), "has no such limit: take a finite number of at least 0")
    p_ref, r = floating(p_ref), floating(r)
    shares = real_share(lam).astype(p_ref.dtype), curated_share(lam).astype(p_ref.dtype)
    gap = r - jnp.where(p_ref > 0, r, -jnp.inf).max()
    a, below = jnp.exp(gap), jnp.where(p_ref > 0, -jnp.expm1(gap), 1.0)  # a / max a and 1 − a / max a

    def excess(over, real, share):  # Z = (η + over) max a: over lies in (0, 1 − η]
        return real * (p_ref @ (a / (over + share * below))) - 1

    def more(over):
        return excess(over, *jax.lax.stop_gradient(shares)) > 0

    def geometric(low, high):
        return jnp.sqrt(low) * jnp.sqrt(high)

    least = jnp.asarray(jnp.finfo(p_ref.dtype).tiny, p_ref.dtype)
    _, over = jax.lax.stop_gradient(bisected(more, (least, shares[0]), 80, geometric))
    slope = jax.lax.stop_gradient(jax.grad(excess)(over, *shares))
    over = over - excess(over, *shares) / slope  # one more step, by Newton: it carries the derivatives
    real, share = shares
    limit = real * p_ref * (over + share) / (over + share * below)
    return limit / limit.sum()


def condensed_mass(p_ref: Array, r: Array, *, lam: Array | float, best: Array | float) -> Array:
    """The mass that gathers at the argmax of an unclipped reward at K = ∞ in spite of the real data, `[]`.

    1 − (1 − η) E_ref[1 / (1 − e^{r − best})] where that is positive, else 0; η = λ / (1 + λ), λ = #curated / #real.
    `best` is the supremum of r, which no point of a continuous p_ref attains with mass; `p_ref` `[s]` is a quadrature.
    """
    real = real_share(lam).astype(p_ref.dtype)
    below = -jnp.expm1(r - best)
    mean = jnp.sum(jnp.where(p_ref > 0, p_ref / jnp.where(below > 0, below, 1.0), 0.0))
    attained = jnp.any((p_ref > 0) & (below <= 0))
    kept = jnp.where(attained, 1.0, real * mean)
    return jnp.where(real == 0, 1.0, jnp.maximum(1 - kept, 0.0))
