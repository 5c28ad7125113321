"""Preference optimisation of the same reward on a finite support, to lay beside curated retraining.

The frontier is `rlhf_optimum` over β; reward-weighted regression by a perfect learner, p' ∝ p e^{r/τ}, is the loop at
K = ∞, so that T rounds of it are the optimum with β = τ / T.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.theory.operator import k_way_ratio
from curated_retraining.types import Array, require


class Tradeoff(NamedTuple):
    """Where distributions lie beside the frontier."""

    kl: Array  # KL(p ‖ p_ref), nats
    reward: Array  # E_p[r]


def tradeoff(p: Array, p_ref: Array, r: Array) -> Tradeoff:
    """KL(p ‖ p_ref) in nats and E_p[r] of `p` `[..., s]`, each `[...]`."""
    some, some_ref = jnp.where(p > 0, p, 1.0), jnp.where(p_ref > 0, p_ref, 1.0)
    log_ref = jnp.where(p_ref > 0, jnp.log(some_ref), -jnp.inf)
    log_ratio = jnp.where(p > 0, jnp.log(some) - jnp.broadcast_to(log_ref, p.shape), 0.0)
    return Tradeoff((p * log_ratio).sum(axis=-1), p @ r)


def best_of_n(p_ref: Array, r: Array, n: Array | float) -> Array:
    """The law of the best of `n` draws from `p_ref`, ties broken evenly, `[s]`; any real n ≥ 1, may be traced.

    What best-of-n distillation learns: one generation of the pure loop at K = n and temperature 0.
    """
    law = jnp.where(p_ref > 0, p_ref * k_way_ratio(p_ref, r, n, temperature=0.0), 0.0)
    return law / law.sum()


def best_of_n_kl_ceiling(n: Array | float) -> Array:
    """log n − (n − 1)/n nats, which KL(best of n ‖ p_ref) never exceeds, `[]`.

    It is reached in the limit of a continuous reward (Beirami et al. 2024, arXiv 2401.01879, theorem 1).
    """
    require("n", n, lambda n: n >= 1, "is not a number of draws: take a number of at least 1")
    n = jnp.asarray(n, float)
    return jnp.log(n) - (1 - 1 / n)


def dpo_loss(
    log_p: Array,
    p_ref: Array,
    r: Array,
    *,
    beta: Array | float,
    temperature: Array | float = 1.0,
    pool: Array | None = None,
) -> Array:
    """The expected loss of direct preference optimisation over all pairs, `[]` (Rafailov et al. 2023, eq. 7).

    −E log σ(β [h(chosen) − h(rejected)]), h = log p / p_ref; both of a pair are drawn from `pool` `[s]`, by default
    p_ref, and Luce's choice at τ = `temperature` decides. It is convex in log p, and where every point of p_ref may be
    drawn its minimum is the KL-regularised optimum with βτ in the place of β.
    """
    pool = p_ref if pool is None else pool
    some = p_ref > 0
    score = beta * jnp.where(some, log_p - jnp.log(jnp.where(some, p_ref, 1.0)), 0.0)
    wins = jax.nn.sigmoid(_difference(r) / temperature)
    return -pool @ (wins * jax.nn.log_sigmoid(_difference(score))) @ pool * 2


def policy_gradient(p_ref: Array, r: Array, *, beta: Array | float, rate: Array | float, num: int) -> Array:
    """Gradient ascent of E_p[r] − β KL(p ‖ p_ref) in the logits of p from p_ref: p_0, ..., p_num, `[num + 1, s]`.

    What REINFORCE does with infinitely many samples: each logit gains rate · p (A − E_p[A]), A = r − β log p / p_ref.
    It ends at the KL-regularised optimum, at a rate of about `rate` β min p a step (Mei et al. 2020, arXiv 2005.06392).
    """
    some = p_ref > 0
    log_ref = jnp.log(jnp.where(some, p_ref, 1.0))

    def step(logits, _):
        log_p = jax.nn.log_softmax(jnp.where(some, logits, -jnp.inf))
        p = jnp.exp(log_p)
        advantage = jnp.where(some, r - beta * (log_p - log_ref), 0.0)
        return logits + rate * p * (advantage - p @ advantage), p

    return jax.lax.scan(step, log_ref, length=num + 1)[1]


def _difference(values: Array) -> Array:
    """values_i − values_j, `[s, s]`."""
    return jax.vmap(lambda value: value - values)(values)
