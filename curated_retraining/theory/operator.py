"""The exact K-wise operator H^K_p on a finite support (theory of Ferbach et al. 2024, §2).

H^K_p(x) = E[K a(x) / (a(x) + Σ_{i<K} a(x_i))] with a = e^{r/τ} and x_i ~ p: the curated distribution is p·H^K_p.
For every real K ≥ 1 it is the integral K ∫ g(v + r) Φ(v)^{K−1} dv with g(w) = exp(w − e^w) and
Φ(v) = Σ_j p_j exp(−e^{v + r_j}), max r shifted to 0. The integrand is analytic, so the trapezoid rule converges
exponentially: relative error ≤ 1e-10 in float64 and ≤ 5e-5 in float32, for K ≤ 1000 and reward ranges ≤ 100. Below
the first node Φ is 1 − e^v E_p[a] and the integral is known; at larger K, which have more of it there, the rule's end
errs by ≤ 1e-7 in float64 and ≤ 5e-5 in float32, whatever K.

H depends on r alone, so a support of more than `DENSE` points is evaluated on nodes of the reward and interpolated
(`theory.nodes`), in memory of a few numbers a point: relative error ≤ 1e-9 in float64 and ≤ 1e-4 in float32.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from curated_retraining.theory.nodes import on_nodes
from curated_retraining.types import Array, floating, require

Operator = Callable[[Array, Array | float], Array]  # p [s], k -> H [s]

DENSE = 4096  # points up to which the quadrature visits each of them


def k_way_ratio(
    p: Array, r: Array, k: Array | float, *, temperature: Array | float = 1.0, reward_range: float = 100.0
) -> Array:
    """H^K_p on a support: by how much curation multiplies each probability, `[s]`.

    Args:
        p: probabilities `[s]`, summing to one.
        r: rewards `[s]`.
        k: group size, any real ≥ 1, or `jnp.inf` (H = e^r / E_p[e^r]); may be traced.
        temperature: τ ≥ 0 of the choice; 0 is best-of-K with ties broken evenly; may be traced.
        reward_range: static bound on (max r − min r) / τ: it sets the number of quadrature nodes. A larger range gives
            an error where the numbers are known and NaN where they are traced.
    """
    return k_way_operator(r, temperature=temperature, reward_range=reward_range)(p, k)


def k_way_operator(r: Array, *, temperature: Array | float = 1.0, reward_range: float = 100.0) -> Operator:
    """`k_way_ratio` for one `r` and many `p` and `k`: what depends on `r` alone is made once.

    Its tables hold 3 · nodes · s numbers, or 3 · nodes · 24 · reward_range where s > 4,096, with 4 (34 + reward_range)
    nodes in float64 and 2 (24 + reward_range) in float32.
    """
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    r = floating(r)
    best = temperature == 0 if isinstance(temperature, Tracer) else bool(np.asarray(temperature) == 0)
    gap = (r - r.max()) / jnp.where(best, 1.0, temperature)
    spread = jnp.where(best, 0.0, -gap.min())
    require(
        "(max r - min r) / temperature",
        spread,
        lambda s: s <= reward_range,
        f"is over reward_range={reward_range}: raise it",
    )
    integral, best_of_k = _quadrature(gap, reward_range), _best_of_k(r)

    def soft(p, k):
        scale = log_mean_exp(p, gap)
        return jnp.where(jnp.isinf(k), jnp.exp(gap - scale), integral(p, k, scale))

    def operator(p: Array, k: Array | float) -> Array:
        require_group_size(k)
        p = floating(p)
        meant = (k >= 1) & (spread <= reward_range) & (jnp.asarray(temperature) >= 0)
        k = jnp.asarray(k, gap.dtype)
        if isinstance(best, bool):
            ratio = (best_of_k if best else soft)(p, k)
        else:
            ratio = jax.lax.cond(best, best_of_k, soft, p, k)
        return jnp.where(meant, ratio, jnp.nan)

    return operator


def crowd_operator(
    r: Array,
    users: Array | None = None,
    *,
    temperature: Array | float = 1.0,
    lapse: Array | float = 0.0,
    reward_range: float = 100.0,
) -> Operator:
    """Σ_u q_u ((1 − ε_u) H^{K, r_u} + ε_u) for types of annotators with rewards `r` `[types, s]`, shares `users`.

    Each group is shown to one annotator, whose type is drawn by its share (Zhao, Fu, Pham 2025), and who with
    probability ε, `lapse`, chooses at random; each type may have its own temperature and lapse, `[types]`. Without
    `users` it is `k_way_operator` of `r` `[s]`, with lapses.

    Raises:
        ValueError: where the shapes of `r`, `users`, `temperature` and `lapse` do not belong together.
    """
    r = floating(r)
    if users is None and r.ndim == 1:
        r, users = r[None], jnp.ones(1, r.dtype)
    given = () if users is None else np.shape(users)
    if r.ndim != 2 or given != r.shape[:1]:
        raise ValueError(f"r of shape {r.shape} needs users of shape {r.shape[:-1]}, not {given}")
    for name, value in (("temperature", temperature), ("lapse", lapse)):
        if np.shape(value) not in ((), given):
            raise ValueError(f"{name} of shape {np.shape(value)}: give one for all, or each type's own, {given}")
    require("lapse", lapse, lambda e: (e >= 0) & (e <= 1), "is not a probability: take a number in [0, 1]")
    own = [*cast(Array, temperature)] if np.ndim(temperature) else [temperature] * r.shape[0]
    each = [k_way_operator(row, temperature=t, reward_range=reward_range) for row, t in zip(r, own, strict=True)]
    shares = jnp.asarray(users)
    kept = shares * (1 - jnp.asarray(lapse))

    def operator(p, k):
        return sum((share * one(p, k) for share, one in zip(kept, each, strict=True)), shares.sum() - kept.sum())

    return operator


def require_group_size(k: Array | float) -> None:
    """Refuses what is no K."""
    require("k", k, lambda k: k >= 1, "is not a group size: take a number of at least 1, or inf")


def log_mean_exp(p: Array, x: Array) -> Array:
    """log E_p[e^x] `[]` of `x` `[s]`, with its derivative in the probability of a point that has none as well."""
    top = jax.lax.stop_gradient(jnp.where(p > 0, x, -jnp.inf).max())
    return top + jnp.log(jnp.sum(p * jnp.exp(jnp.minimum(x - top, 80.0))))  # more only without mass: no inf · 0


def _quadrature(gap: Array, reward_range: float) -> Callable[[Array, Array, Array], Array]:
    """The integral for finite `k`, by the tables of the trapezoid rule; it takes log E_p[a] as well."""
    v, step = quadrature_nodes(gap.dtype, reward_range)
    if gap.shape[0] <= DENSE:
        nodes, spread, at_points = gap, lambda p: p, lambda values: values
    else:
        nodes, spread, at_points = on_nodes(gap, reward_range)
    log_arrival = jnp.minimum(v[:, None] + nodes[None], 30.0)  # [v, nodes]; e^−e^30 is 0, and more has no derivative
    survival = jnp.exp(-jnp.exp(log_arrival))
    arrival = -jnp.expm1(-jnp.exp(log_arrival))
    density = step * jnp.exp(log_arrival - jnp.exp(log_arrival))

    def integral(p, k, scale):
        finite_k, weight = jnp.where(jnp.isinf(k), 1.0, k), spread(p)
        start = jnp.log(finite_k) + v[0]
        decay = jnp.exp(start + scale) * (1 - 1 / finite_k)  # (K − 1) e^v E_p[a] at the first node
        with jax.default_matmul_precision("highest"):  # by default an accelerator keeps ten bits
            none = none_of_others(survival @ weight, arrival @ weight, finite_k)
            none = none.at[0].multiply(_end(decay, step))
            return at_points(finite_k * none @ density + jnp.exp(start + nodes) * _mean_decay(decay))

    return integral


def _end(x: Array, step: float) -> Array:
    """The weight, in steps, of the first node of the integral of e^v e^{−x e^v} from there on (Euler, Maclaurin)."""
    x = jnp.minimum(x, 50.0)  # where nothing is left
    third = (1 - x) ** 3 - 3 * x * (1 - x) - x
    return 1 / 2 + step / 12 * (1 - x) - step**3 / 720 * third


def _mean_decay(x: Array) -> Array:
    """(1 − e^−x) / x, the mean of e^{−x u} over u in [0, 1]."""
    return jnp.where(x > 0, -jnp.expm1(-x) / jnp.where(x > 0, x, 1.0), 1.0)


def quadrature_nodes(dtype: Any, reward_range: float) -> tuple[Array, float]:
    """The nodes v of the trapezoid rule and their distance, for rewards in [−reward_range, 0]."""
    lowest, step = (-30.0, 0.25) if dtype == jnp.float64 else (-20.0, 0.5)
    return jnp.arange(lowest, 4 + reward_range, step, dtype=dtype), step


def none_of_others(none: Array, some: Array, k: Array | float) -> Array:
    """Φ^{K−1} at the nodes from `none` Φ and `some` 1 − Φ, for finite K."""
    # 1 − Φ is small where Φ is near one, and there its rounding would be magnified K-fold
    some, positive = jnp.minimum(some, 0.5), jnp.where(none > 0, none, 1.0)  # and derivatives stay finite
    log_none = jnp.where(some < 0.5, jnp.log1p(-some), jnp.log(positive))
    return jnp.where(none > 0, jnp.exp((k - 1) * log_none), jnp.where(k == 1, 1.0, 0.0))


def _best_of_k(r: Array) -> Operator:
    """(F(r)^K − F(r−)^K) / P(level of r), the limit τ → 0; K F^{K−1} on a level without mass."""
    order = jnp.argsort(r)
    place = jnp.arange(r.shape[0])
    is_new = jnp.append(True, jnp.diff(r[order]) > 0)
    rank = jnp.zeros_like(place).at[order].set(jax.lax.cummax(jnp.where(is_new, place, 0)))  # one number a level

    def ratio(p, k):
        of_rank = jnp.zeros_like(p).at[rank].add(p)
        level, best = of_rank[rank], jnp.where(p > 0, r, -jnp.inf).max()
        has_mass, some = level > 0, jnp.where(level > 0, level, 1.0)
        up_to = jnp.where(r >= best, 1.0, jnp.minimum(jnp.cumsum(of_rank)[rank], 1.0))
        above = jnp.where(r >= best, 0.0, (jnp.cumsum(of_rank[::-1])[::-1] - of_rank)[rank])
        finite_k = jnp.where(jnp.isinf(k), 1.0, k)
        all_up_to = none_of_others(up_to, above, finite_k)  # F^{K−1}
        share = level / jnp.where(up_to > 0, up_to, 1.0)
        lowest = share >= 1  # nothing is below it, and log 0 would have no derivative
        missed = jnp.where(lowest, -1.0, jnp.expm1(finite_k * jnp.log1p(-jnp.where(lowest, 0.0, share))))
        chosen = -all_up_to * up_to * missed
        of_finite = jnp.where(has_mass, chosen / some, finite_k * all_up_to)
        only_best = jnp.where(r > best, jnp.inf, jnp.where(r == best, 1 / some, 0.0))
        return jnp.where(jnp.isinf(k), only_best, of_finite)

    return ratio
