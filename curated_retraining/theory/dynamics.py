"""The exact population dynamics of curated retraining and its limits, on a finite support.

p_{t+1} = (1 − η) p_ref + η p_t H^K_{p_t} with η = λ / (1 + λ) and λ = #curated / #real in [0, ∞]; λ = ∞ is the pure
loop. This is what a perfect learner with infinitely many samples does (Ferbach et al. 2024, curated retraining without
and with real data). Everything vmaps over k, lam, temperature and r, and is differentiable in p, r and lam.

Annotators of several types have one row of `r` each, `[types, s]`, and their shares `users` `[types]`: then
H = Σ_u q_u H^{K, r_u} (Zhao, Fu, Pham 2025).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from curated_retraining.theory.operator import Operator, crowd_operator
from curated_retraining.types import Array, floating, require


def require_ratio(lam: ArrayLike) -> None:
    """Refuses what is no λ."""
    require("lam", lam, lambda v: v >= 0, "is not a ratio #curated / #real: take a number of at least 0, or inf")


def curated_share(lam: ArrayLike) -> Array:
    """η = λ / (1 + λ), the curated share of the training weight; right at λ = 0 and at λ = ∞, derivatives too."""
    require_ratio(lam)
    lam = jnp.asarray(lam, float)
    few, many = jnp.where(lam < 1, lam, 1.0), jnp.where(lam < 1, 1.0, lam)
    return jnp.where(lam >= 0, jnp.where(lam < 1, few / (1 + few), 1 / (1 + 1 / many)), jnp.nan)


def real_share(lam: ArrayLike) -> Array:
    """1 − η = 1 / (1 + λ), of which little is left where it is taken for the difference and λ is large."""
    return 1 / (1 + jnp.asarray(lam, float))


def mixed(p_ref: Array, curated: Array, lam: ArrayLike) -> Array:
    """(1 − η) p_ref + η `curated`, `[s]`: exact in theory; an error of mass would grow ηK-fold a generation."""
    both = real_share(lam).astype(curated.dtype) * p_ref + curated_share(lam).astype(curated.dtype) * curated
    return both / both.sum()


def advance(operator: Operator, p: Array, k: Array | float, lam: ArrayLike, p_ref: Array) -> Array:
    """(1 − η) p_ref + η p·H: one generation under any operator, `[s]`."""
    ratio = operator(p, k)
    return mixed(p_ref, p * jnp.where((p == 0) & jnp.isinf(ratio), 0.0, ratio), lam)  # which may be where no mass is


def retrain(
    p: Array,
    r: Array,
    *,
    k: Array | float,
    lam: Array | float,
    p_ref: Array,
    temperature: Array | float = 1.0,
    users: Array | None = None,
    reward_range: float = 100.0,
) -> Array:
    """One generation: from p_t to p_{t+1}, both `[s]`; the arguments are those of `trajectory`."""
    operator = crowd_operator(r, users, temperature=temperature, reward_range=reward_range)
    return advance(operator, floating(p), k, lam, floating(p_ref))


def trajectory(
    p_0: Array,
    r: Array,
    *,
    k: Array | float,
    lam: Array | float,
    num: int,
    p_ref: Array | None = None,
    temperature: Array | float = 1.0,
    users: Array | None = None,
    reward_range: float = 100.0,
    observe: Callable[[Array], Any] = lambda p: p,
) -> Any:
    """p_0, ..., p_num: `[num + 1, s]`; or what `observe` makes of each.

    Args:
        p_0: probabilities of the first model, `[s]`.
        r: rewards `[s]`, or `[types, s]`.
        k: group size, any real ≥ 1 or `jnp.inf`.
        lam: λ = #curated / #real; `jnp.inf` is the pure loop.
        num: generations.
        p_ref: probabilities of the real data, `[s]`; `p_0` by default.
        temperature: τ of the choice; 0 is best-of-K; or each type's own, `[types]`.
        users: shares of the types of annotators, `[types]`, summing to one; none where all are alike.
        reward_range: static bound on the range of r / τ, as in `k_way_ratio`.
        observe: p `[s]` -> what is kept of it, arrays or a tree of them: for large supports, whose course is larger.
    """
    operator = crowd_operator(r, users, temperature=temperature, reward_range=reward_range)
    return course(lambda p: operator(p, k), p_0, lam=lam, num=num, p_ref=p_ref, observe=observe)


def course(
    ratio: Callable[[Array], Array],
    p_0: Array,
    *,
    lam: Array | float,
    num: int,
    p_ref: Array | None = None,
    observe: Callable[[Array], Any] = lambda p: p,
) -> Any:
    """p_0, ..., p_num of p_{t+1} = (1 − η) p_ref + η p_t·ratio(p_t), `[num + 1, s]`, or what `observe` makes of each.

    `ratio` `[s]` -> `[s]` may read p_t in any way; the other arguments are those of `trajectory`.
    """
    p_0, p_ref = floating(p_0), floating(p_0 if p_ref is None else p_ref)

    def step(p, _):
        return advance(lambda p, k: ratio(p), p, 1, lam, p_ref), observe(p)

    return jax.lax.scan(step, p_0, length=num + 1)[1]  # p_0 first, with no copy of the whole


def pure_limit(p_0: Array, r: Array) -> Array:
    """The limit of the pure loop (λ = ∞) for any K > 1: p_0 on its best level A = {r = max over p_0 > 0}, `[s]`.

    KL(p_* ‖ p_t) = −log P_t(A) decreases to zero where P_0(A) > 0 (Ferbach et al. 2024, convergence theorem).
    """
    best = jnp.where(p_0 > 0, r, -jnp.inf).max()
    kept = jnp.where(r == best, p_0, 0.0)
    return kept / kept.sum()


def mixed_limit(
    p_ref: Array,
    r: Array,
    *,
    k: Array | float,
    lam: Array | float,
    p_0: Array | None = None,
    temperature: Array | float = 1.0,
    users: Array | None = None,
    reward_range: float = 100.0,
    max_steps: int = 10_000,
) -> Array:
    """The limit of the loop with real data, `[s]`, by iteration until it stands still; from p_0 = p_ref by default.

    For λ < 1 / (K − 1) the step contracts total variation by ηK < 1, so the fixed point is unique. It has stood still
    where the last step moved no probability by more than its rounding, (32 + √s) ε of itself with ε the rounding unit:
    where the loop's rate ρ nears one it may still be that over 1 − ρ away, in float32 a percent at ρ = 0.9995. A loop
    that still moves after `max_steps` gives NaN. Derivatives are those of the fixed point, by the implicit
    function theorem.
    """
    operator = crowd_operator(r, users, temperature=temperature, reward_range=reward_range)
    p_ref = floating(p_ref)
    eps = jnp.finfo(p_ref.dtype).eps
    still = (32 + p_ref.shape[0] ** 0.5) * eps

    def follow(advance, begin, floor):
        """Repeats `advance` until no entry changes by more than `still` of itself plus `floor`."""

        def moves(carry):
            step, _, moved = carry
            return (moved > still) & (step < max_steps)

        def one(carry):
            step, x, _ = carry
            following = advance(x)
            size = jnp.abs(x) + floor
            return step + 1, following, jnp.max(jnp.abs(following - x) / jnp.where(size > 0, size, 1.0))

        _, x, moved = jax.lax.while_loop(moves, one, (0, begin, jnp.asarray(jnp.inf, p_ref.dtype)))
        return jnp.where(moved <= still, x, jnp.nan)

    def residual(p):
        return advance(operator, p, k, lam, p_ref) - p

    def solve(residual, begin):
        floor = eps * jax.lax.stop_gradient(p_ref + begin)  # what has all but gone may go on vanishing
        return follow(lambda p: p + residual(p), begin, floor)

    def neumann(linear, y):
        return follow(lambda x: x + linear(x) - y, -y, jnp.abs(y).max())

    def tangent_solve(linear, y):
        return jax.lax.custom_linear_solve(linear, y, neumann, transpose_solve=neumann)

    return jax.lax.custom_root(residual, p_ref if p_0 is None else floating(p_0), solve, tangent_solve)
