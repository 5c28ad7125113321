"""Bounds and rates of curated retraining (Ferbach et al. 2024, and the sharper constants of our own derivation).

Everywhere λ = #curated / #real in (0, ∞], a = e^r, and r_* is the largest reward that has mass.
"""

import jax.numpy as jnp

from curated_retraining.theory.dynamics import curated_share
from curated_retraining.types import Array, require


def reward_increment_bound(p: Array, r: Array, *, k: Array | float) -> Array:
    """The least increase of E[e^r] in one generation of the pure loop: ((K − 1) / K) Var_p[e^r] / e^{r_*}, `[]`."""
    best = jnp.where(p > 0, r, -jnp.inf).max()
    relative = jnp.where(p > 0, jnp.exp(r - best), 0.0)
    mean = p @ relative
    return (1 - 1 / jnp.asarray(k, r.dtype)) * (p @ (relative - mean) ** 2) * jnp.exp(best)


def reward_floor(p_ref: Array, r: Array, *, k: Array | float, lam: Array | float, paper: bool = False) -> Array:
    """What E_t[e^r] does not fall below for t ≥ 1, from p_0 = p_ref, `[]`.

    E_ref[e^r] + λ / (1 + λ)² · ((K − 1) / K) Var_ref[e^r] / e^{r_*}; with `paper` the source's weaker λ / (1 + λ)³.
    """
    share = curated_share(lam)
    factor = share * (1 - share) ** (2 if paper else 1)
    return p_ref @ jnp.exp(r) + factor * reward_increment_bound(p_ref, r, k=k)


def kl_ceiling(*, k: Array | float, lam: Array | float) -> Array:
    """−log(1 − λ(K − 1)) nats where λ < 1 / (K − 1), infinity elsewhere, `[]`.

    From p_0 = p_ref it bounds D_∞(p_t ‖ p_ref) for all t, hence KL(p_t ‖ p_ref). With a bounded reward `effective_k`
    may stand for K.
    """
    require("k", k, lambda k: k >= 1, "is not a group size: take a number of at least 1, or inf")
    require("lam", lam, lambda v: v >= 0, "is not a ratio #curated / #real: take a number of at least 0, or inf")
    excess = jnp.asarray(k, float) - 1
    load = jnp.where((lam == 0) | (excess == 0), 0.0, lam * excess)
    return jnp.where(load < 1, -jnp.log1p(-jnp.minimum(load, 1.0)), jnp.inf)


def tail_rate(*, k: Array | float, gap: Array | float) -> Array:
    """ρ of 1 − P_t(best level) ~ ρ^t in the pure loop, `gap` Δ > 0 above the next level: K / (1 + (K − 1) e^Δ)."""
    require("gap", gap, lambda g: g > 0, "is not a gap between reward levels: take a positive number")
    k = jnp.asarray(k, float)
    return 1 / (1 / k + (1 - 1 / k) * jnp.exp(gap))


def effective_k(*, k: Array | float, reward_range: Array | float) -> Array:
    """The largest value H^K can take with rewards of range R: K / (1 + (K − 1) e^{−R}), and e^R at K = ∞."""
    k = jnp.asarray(k, float)
    return 1 / (1 / k + (1 - 1 / k) * jnp.exp(-jnp.asarray(reward_range, float)))
