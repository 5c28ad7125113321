"""Other curation than K-wise choice, exactly: rules that cut off, and weights that undo a choice or balance classes.

A ratio is by how much curation multiplies each probability, `[s]`, as H^K_p is; `course` plays a loop of any.
"""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from curated_retraining.theory.operator import none_of_others, quadrature_nodes
from curated_retraining.types import Array, floating, require


def top_fraction_ratio(p: Array, r: Array, share: Array | float) -> Array:
    """1/q for the best `share` q of the mass and 0 for the rest; the level at the edge gets what is left, `[s]`.

    Where r depends on p it is rank by that: r = log p keeps the region of highest density.
    """
    require("share", share, lambda q: (q > 0) & (q <= 1), "is not a share to keep: take a number in (0, 1]")
    p, r = floating(p), floating(r)
    order = jnp.argsort(-r)
    place = jnp.arange(r.shape[0])
    is_new = jnp.append(True, jnp.diff(r[order]) != 0)
    level = jnp.zeros_like(place).at[order].set(jax.lax.cummax(jnp.where(is_new, place, 0)))  # one number a level
    mass = jnp.zeros_like(p).at[level].add(p)
    above = jnp.cumsum(mass) - mass
    kept = jnp.clip((share - above) / jnp.where(mass > 0, mass, 1.0), 0.0, 1.0)
    kept = jnp.where(mass > 0, kept, above < share)  # of a level without mass all would fit, or none
    return jnp.where(jnp.isnan(r).any(), jnp.nan, (kept / share)[level])


def threshold_ratio(p: Array, r: Array, least: Array | float) -> Array:
    """1 / P(r ≥ least) where r ≥ least and 0 elsewhere, `[s]`; NaN where nothing reaches it."""
    p, r = floating(p), floating(r)
    kept = (r >= least).astype(p.dtype)
    total = p @ kept
    return jnp.where((total > 0) & ~jnp.isnan(r).any(), kept / jnp.where(total > 0, total, 1.0), jnp.nan)


def rebalance(p: Array, label: Array, shares: Array, strength: Array | float = 1.0) -> Array:
    """p with the mass W_c of each class c changed to W_c^{1−m} s_c^m, normalised, `[s]`: s_c itself at m = 1.

    A class without mass stays without: where m is 1 and it should have some, all are NaN. `label` `[s]` are integers in
    0..classes−1, `shares` s `[classes]`, `strength` m in [0, 1].
    """
    require("strength", strength, lambda m: (m >= 0) & (m <= 1), "is no part of the way: take a number in [0, 1]")
    p = floating(p)
    held = jnp.zeros(shares.shape[0], p.dtype).at[label].add(p)
    changed = p * ((shares / jnp.where(held > 0, held, 1.0)) ** strength)[label]
    missing = (strength == 1) & jnp.any((held == 0) & (shares > 0))
    return jnp.where(missing, jnp.nan, changed / changed.sum())


def propensity_ratio(
    p: Array,
    r: Array,
    k: Array | float,
    *,
    exponent: Array | float,
    temperature: Array | float = 1.0,
    reward_range: float = 100.0,
) -> Array:
    """By how much K-wise choice with weights P(chosen)^−e multiplies probabilities, `[s]`: H^K_p at e = 0, 1 at e = 1.

    In proportion to E[(a(x) / (a(x) + Σ_{i<K} a(x_i)))^s] with s = 1 − e, and y^−s = ∫ u^{s−1} e^{−uy} du / Γ(s): it is
    ∫ exp(s w − e^w) Φ(v)^{K−1} dv, w = v + r and Φ as of `k_way_ratio`, normalised; below the first node the integral
    is known. Relative error ≤ 1e-6 in float64, ≤ 2e-5 in float32. `exponent` e in [0, 1], K in [1, 1000] and τ > 0; it
    takes memory of 8 (24 + reward_range) numbers a point.
    """
    require("exponent", exponent, lambda e: (e >= 0) & (e <= 1), "undoes no part of a bias: take a number in [0, 1]")
    require("k", k, lambda k: (k >= 1) & (k <= 1000), "is out of reach here: take a number from 1 to 1000")
    require("temperature", temperature, lambda t: t > 0, "leaves nothing to undo: take a positive number")
    p, r = floating(p), floating(r)
    power = jnp.asarray(1 - exponent, p.dtype)
    gap = (r - r.max()) / temperature
    within = -gap.min() <= reward_range
    require("reward_range", reward_range, lambda _: isinstance(within, Tracer) or within, "is less than r's: raise it")
    v, step = quadrature_nodes(p.dtype, reward_range)
    w = jnp.minimum(v[:, None] + gap[None], 30.0)  # e^−e^30 is 0, and more has no derivative
    none = none_of_others(jnp.exp(-jnp.exp(w)) @ p, -jnp.expm1(-jnp.exp(w)) @ p, k)
    end = step / 2 + step**2 / 12 * power  # the first node ends the range, where the integrand grows with e^{power v}
    inside = jnp.where(jnp.arange(v.shape[0]) == 0, end, step) * none
    ratio = power * (inside @ jnp.exp(power * w - jnp.exp(w))) + jnp.exp(power * w[0])
    meant = within & (k >= 1) & (k <= 1000)
    return jnp.where(meant, ratio / (p @ ratio), jnp.nan)
