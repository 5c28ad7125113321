"""Several models that train on one another's samples (Wei, Zhang, Zhang 2026, arXiv 2605.29267).

`interact` is a generation of n perfect learners on a finite support under the shares S `[n, 1 + 2 n]` of
`interacting`: columns are the real data, the raw samples of each model, the curated samples of each.

The rest is the linear-Gaussian toy. Two models in ℝ^d learn a mean each: p = N(θ, I) and q = N(φ, I).
* p trains on samples of q, curated at K = ∞ by people who feel λ⟨a, x⟩: N(φ, I) tilted by e^{λ⟨a, x⟩} is
  N(φ + λ a, I), so **θ = φ + λ a**. λ is the strength of curation, 1 / temperature; here alone it is not
  #curated / #real.
* q trains on real data of mean zero, with share 1 − α, and on samples of p, curated by −½ x·Bx: N(θ, I) tilted by
  e^{−½ x·Bx} has the mean (I + B)^{−1} θ, so **φ = A θ** with A = α (I + B)^{−1}; raw samples are B = 0. That is every
  symmetric A with eigenvalues in (0, α].
* What people want of a model with mean m is J = g·m − (η/2)‖m‖² = E[g·x − (η/2)(‖x‖² − d)]: η is a cost, no share.

Generations send (θ, φ) to (φ + λ a, A θ), whose eigenvalues are ±√eig(A): the fixed point is reached iff the spectral
radius of A is below one. There dθ_*/dλ = v = (I − A)^{−1} a and dφ_*/dλ = A v do not depend on λ, so J is a parabola in
it, which turns once. Formulas hold for every square A whose spectral radius is below one.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from curated_retraining.theory.operator import k_way_operator
from curated_retraining.types import Array, require


def interact(
    p: Array,
    r: Array,
    shares: Array,
    *,
    k: Array | float,
    p_ref: Array,
    temperature: Array | float = 1.0,
    reward_range: float = 100.0,
) -> Array:
    """One generation of n models, from p_t to p_{t+1}, both `[n, s]`; the arguments are those of its trajectory."""
    return _advance(_operators(p, r, shares, temperature, reward_range), p, k, shares, p_ref)


def interacting_trajectory(
    p_0: Array,
    r: Array,
    shares: Array,
    *,
    k: Array | float,
    num: int,
    p_ref: Array | None = None,
    temperature: Array | float = 1.0,
    reward_range: float = 100.0,
    observe: Callable[[Array], Any] = lambda p: p,
) -> Any:
    """p_0, ..., p_num of n models: `[num + 1, n, s]`; or what `observe` makes of each `[n, s]`.

    p_i' = S_i0 p_ref + Σ_j S_i,1+j p_j + S_i,1+n+j p_j H^K_{p_j}, where H is that of the reward r_j. One model with
    shares (1 − η, 0, η) is `trajectory` with η = λ / (1 + λ), λ = #curated / #real.

    Args:
        p_0: probabilities of the first models, `[n, s]`.
        r: what the people feel who curate each, `[n, s]`.
        shares: S, `[n, 1 + 2 n]`, whose rows sum to one; may be traced.
        k: group size, any real ≥ 1 or `jnp.inf`.
        num: generations.
        p_ref: probabilities of the real data, `[s]` or each model's own, `[n, s]`; `p_0` by default.
        temperature: τ of the choice; 0 is best-of-K.
        reward_range: static bound on the range of r / τ, as in `k_way_ratio`.
        observe: what is kept of a generation.
    """
    operators = _operators(p_0, r, shares, temperature, reward_range)
    p_ref = p_0 if p_ref is None else p_ref

    def step(p, _):
        return _advance(operators, p, k, shares, p_ref), observe(p)

    return jax.lax.scan(step, p_0, length=num + 1)[1]


def coupled_means(coupling: ArrayLike, pull: ArrayLike, strength: ArrayLike) -> Array:
    """θ_* = λ (I − A)^{−1} a and φ_* = A θ_*, `[2, d]`, for the coupling A `[d, d]`, the pull a `[d]` and λ.

    Relative error ≤ 2e-6 in float32 and 1e-13 in float64 while the spectral norm of A is at most 0.9.
    """
    return jnp.asarray(strength) * _directions(coupling, pull)


def alignment(mean: Array, liked: ArrayLike, cost: ArrayLike) -> Array:
    """J = g·m − (η/2)‖m‖² of each model, `[2]`, for means `[2, d]`, `liked` g `[2, d]` and `cost` η `[2]`; p first."""
    return jnp.sum(jnp.asarray(liked) * mean, axis=1) - jnp.asarray(cost) / 2 * jnp.sum(mean**2, axis=1)


def curation_influence(
    coupling: ArrayLike, pull: ArrayLike, strength: ArrayLike, liked: ArrayLike, cost: ArrayLike
) -> Array:
    """dJ_p/dλ = ∇J_p·(I − A)^{−1} a and dJ_q/dλ = ∇J_q·(I − A)^{−1} A a at the fixed point, `[2]`.

    The first is the influence of curation on the model that it is meant for, the second that on the other.
    """
    gradient = jnp.asarray(liked) - jnp.asarray(cost)[:, None] * coupled_means(coupling, pull, strength)
    return jnp.sum(gradient * _directions(coupling, pull), axis=1)


def turning_strength(coupling: ArrayLike, pull: ArrayLike, liked: ArrayLike, cost: ArrayLike) -> Array:
    """The λ at which dJ_p/dλ and dJ_q/dλ change sign, `[2]`: g·v / (η ‖v‖²), v = d mean / dλ.

    Up to it curation raises J, beyond it lowers it. It is negative where curation never helps, and not finite where
    η‖v‖² = 0.
    """
    direction = _directions(coupling, pull)
    return jnp.sum(jnp.asarray(liked) * direction, axis=1) / (jnp.asarray(cost) * jnp.sum(direction**2, axis=1))


def _directions(coupling, pull):
    """dθ_*/dλ = (I − A)^{−1} a and dφ_*/dλ = A dθ_*/dλ, `[2, d]`."""
    coupling, pull = jnp.asarray(coupling), jnp.asarray(pull)
    if coupling.shape != pull.shape * 2:
        raise ValueError(f"a coupling of shape {coupling.shape} for a pull of shape {pull.shape}: give [d, d] and [d]")
    require("coupling", coupling, _contracts, "has a spectral radius of 1 or more: no fixed point is reached")
    direction = jnp.linalg.solve(jnp.eye(len(pull), dtype=coupling.dtype) - coupling, pull)
    return jnp.stack([direction, coupling @ direction])


def _contracts(coupling):
    return np.abs(np.linalg.eigvals(coupling)).max() < 1


def _operators(p, r, shares, temperature, reward_range):
    """The operator of each model's people."""
    n = len(p)
    if r.shape != p.shape or shares.shape != (n, 1 + 2 * n):
        raise ValueError(
            f"p of shape {p.shape}, r of shape {r.shape} and shares of shape {shares.shape}: "
            "give [n, s], [n, s] and [n, 1 + 2 n]"
        )
    return [k_way_operator(row, temperature=temperature, reward_range=reward_range) for row in jnp.asarray(r)]


def _advance(operators, p, k, shares, p_ref):
    n, shares = len(operators), jnp.asarray(shares, p.dtype)
    ratio = jnp.stack([operator(row, k) for operator, row in zip(operators, p, strict=True)])
    curated = jnp.where(p > 0, p * ratio, 0.0)  # H may be infinite where there is no mass
    real = shares[:, :1] * jnp.broadcast_to(p_ref, p.shape)
    mixed = real + shares[:, 1 : n + 1] @ p + shares[:, n + 1 :] @ curated
    return mixed / mixed.sum(axis=1, keepdims=True)  # exact in theory; an error of mass would grow
