"""Bounds and rates of curated retraining (Ferbach et al. 2024, and the sharper constants of our own derivation).

Everywhere λ = #curated / #real in [0, ∞], K is any real ≥ 1 or ∞, a = e^r, and r_* is the largest reward that has mass.
"""

import jax.numpy as jnp

from curated_retraining.theory.dynamics import curated_share, real_share, require_ratio
from curated_retraining.theory.operator import require_group_size
from curated_retraining.types import Array, floating, require


def reward_increment_bound(p: Array, r: Array, *, k: Array | float) -> Array:
    """The least increase of E[e^r] in one generation of the pure loop: ((K − 1) / K) Var_p[e^r] / e^{r_*}, `[]`."""
    require_group_size(k)
    p, r = floating(p), floating(r)
    best = jnp.where(p > 0, r, -jnp.inf).max()
    relative = jnp.where(p > 0, jnp.exp(r - best), 0.0)
    mean = p @ relative
    return (1 - 1 / jnp.asarray(k, r.dtype)) * (p @ (relative - mean) ** 2) * jnp.exp(best)


def reward_floor(p_ref: Array, r: Array, *, k: Array | float, lam: Array | float, order: int = 1) -> Array:
    """What E_t[e^r] does not fall below for t ≥ 1, from p_0 = p_ref, `[]`.

    E_ref[e^r] + λ / (1 + λ)^order · ((K − 1) / K) Var_ref[e^r] / e^{r_*}. The source states `order` 3, and 2 holds too;
    1 is ours and is sharp at t = 1, where it is η times the increment bound. It lasts because p_t ≥ (1 − η) p_ref
    keeps a variance of (1 − η) Var_ref, so that a gain D is followed by at least η (D + (1 − η) V) ≥ η V once D ≥ η V.

    Raises:
        ValueError: where `order` is not 1, 2 or 3.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"order={order} is not a proven power of 1 / (1 + λ): take 1, 2 or 3")
    p_ref, r = floating(p_ref), floating(r)
    mean = p_ref @ jnp.exp(jnp.where(p_ref > 0, r, -jnp.inf))
    share = curated_share(lam) * real_share(lam) ** (order - 1)
    return mean + share * reward_increment_bound(p_ref, r, k=k)


def kl_ceiling(*, k: Array | float, lam: Array | float) -> Array:
    """−log(1 − λ(K − 1)) nats where λ < 1 / (K − 1), infinity elsewhere, `[]`.

    From p_0 = p_ref it bounds D_∞(p_t ‖ p_ref) for all t, hence KL(p_t ‖ p_ref). With a bounded reward `effective_k`
    may stand for K.
    """
    require_group_size(k)
    require_ratio(lam)
    excess = jnp.asarray(k, float) - 1
    load = jnp.where((lam == 0) | (excess == 0), 0.0, lam * excess)
    return jnp.where(load < 1, -jnp.log1p(-jnp.minimum(load, 1.0)), jnp.inf)


def real_kl_ceiling(lam: Array | float) -> Array:
    """log(1 + λ) nats, which KL(p_ref ‖ p_t) never exceeds for t ≥ 1, whatever K and r: p_t ≥ (1 − η) p_ref, `[]`."""
    require_ratio(lam)
    return jnp.log1p(jnp.asarray(lam, float))


def contraction_rate(*, k: Array | float, lam: Array | float) -> Array:
    """ηK: by how much one generation with real data shrinks the total variation of two distributions at most, `[]`.

    Below one, at λ < 1 / (K − 1), the limit is unique and reached geometrically. With a bounded reward `effective_k`
    may stand for K.
    """
    require_group_size(k)
    share = curated_share(lam)
    return jnp.where(share == 0, 0.0, share * jnp.where(share == 0, 1.0, k))


def tail_rate(*, k: Array | float, gap: Array | float) -> Array:
    """ρ of 1 − P_t(best level) ~ ρ^t in the pure loop, `gap` Δ > 0 above the next level: K / (1 + (K − 1) e^Δ)."""
    require_group_size(k)
    require("gap", gap, lambda g: g > 0, "is not a gap between reward levels: take a positive number")
    k = jnp.asarray(k, float)
    return 1 / (1 / k + (1 - 1 / k) * jnp.exp(gap))


def effective_k(*, k: Array | float, reward_range: Array | float) -> Array:
    """The largest value H^K can take with rewards of range R: K / (1 + (K − 1) e^{−R}), and e^R at K = ∞."""
    require_group_size(k)
    k = jnp.asarray(k, float)
    return 1 / (1 / k + (1 - 1 / k) * jnp.exp(-jnp.asarray(reward_range, float)))


def uncurated_kl_rate(lam: Array | float) -> Array:
    """η² = (λ / (1 + λ))²: the factor of KL(p_t ‖ p_ref) a generation without curation near the optimum, `[]`.

    For an exponential family refitted by maximum likelihood to (1 − η) p_ref + η p_t: the mean parameters come closer
    by η a generation, and KL is quadratic there.
    """
    return curated_share(lam) ** 2
