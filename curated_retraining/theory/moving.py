"""Annotators whose taste moves while the population does, on a finite support.

A taste is whatever a reward is made from: the weights of a linear one (Wei, Xie, Zhu, Zhang), a place that is liked, or
the generation. Curation reads the taste of the time, r_t = `reward`(taste_t): p_{t+1} = (1 − η) p_ref + η p_t H^K with
H of p_t and r_t, and then taste_{t+1} = `follow`(taste_t, p_t H).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from curated_retraining.theory.dynamics import mixed, retrain
from curated_retraining.types import Array, State, floating


def moving_trajectory(
    p_0: Array,
    taste: State,
    *,
    reward: Callable[[State], Array],
    follow: Callable[[State, Array], State],
    k: Array | float,
    lam: Array | float,
    num: int,
    p_ref: Array | None = None,
    temperature: Array | float = 1.0,
    reward_range: float = 100.0,
    observe: Callable[[Array, State], Any] = lambda p, taste: (p, taste),
) -> Any:
    """(p_0, taste_0), ..., (p_num, taste_num), each with a leading axis `[num + 1]`; or what `observe` makes of each.

    At K = ∞ the pure loop adds up what was felt, p_t ∝ p_0 exp(Σ_{s<t} r_s / τ): rewards that have cancelled out, as
    those of a taste that went once round, have brought the population back, unless its probabilities went below the
    smallest float on the way: where Σ r_s / τ differed by over 87 in float32, 700 in float64.

    Args:
        p_0: probabilities of the first model, `[s]`.
        taste: the first taste, any tree of arrays.
        reward: taste -> rewards `[s]`.
        follow: taste and what was curated, `[s]` -> the next taste; see `follow_the_kept`.
        k, lam, num, p_ref, temperature, reward_range: as in `trajectory`.
        observe: p `[s]`, taste -> what is kept of them.
    """
    p_0, p_ref = floating(p_0), floating(p_0 if p_ref is None else p_ref)

    def step(carry, _):
        p, taste = carry
        pure = retrain(
            p, reward(taste), k=k, lam=jnp.inf, p_ref=p_ref, temperature=temperature, reward_range=reward_range
        )
        return (mixed(p_ref, pure, lam), follow(taste, pure)), observe(p, taste)

    return jax.lax.scan(step, (p_0, taste), length=num + 1)[1]


def follow_the_kept(weight: Array, curated: Array, features: Array, beta: Array | float) -> Array:
    """w' = Proj_{‖w‖ ≤ 1}((1 − β) w + β E[φ]) by people who come to like what was kept, `[d]`.

    `curated` `[s]` are the probabilities of what was kept, `features` φ `[s, d]` (Wei, Xie, Zhu, Zhang).
    """
    moved = (1 - beta) * weight + beta * (curated @ features)
    return moved / jnp.maximum(1.0, jnp.sqrt(moved @ moved))
