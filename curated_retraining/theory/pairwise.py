"""Preferences between two that come from no reward, and may be cyclic, on a finite support.

Of a group of K each is chosen with its share of time as champion, where the champion meets a challenger drawn evenly
from the rest, again and again: the stationary distribution of Rank Centrality (Negahban, Oh, Shah 2017). For K = 2
that is the preference itself, and p' = p·H is the discrete replicator equation of the game 2P − 1.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining.theory.dynamics import course
from curated_retraining.theory.operator import Operator
from curated_retraining.types import SLACK, Array, floating, require


def pairwise_ratio(p: Array, preference: Array, k: int) -> Array:
    """H^K_p under duels, `[s]`: by how much curation multiplies each probability.

    By enumeration of the s · C(s + K − 2, K − 1) groups of one and K − 1 others, so for small supports and K.

    Args:
        p: probabilities `[s]`, summing to one.
        preference: P `[s, s]`, the probability that the row is preferred to the column; P + Pᵀ = 1.
        k: group size, a whole number ≥ 2; static.
    """
    return pairwise_operator(preference, k)(p, k)


def pairwise_operator(preference: Array, k: int) -> Operator:
    """`pairwise_ratio` for one `preference` and `k` and many `p`: who wins each group is found once.

    Raises:
        ValueError: where `k` < 2, P is not square, or P + Pᵀ is not 1.
    """
    if k < 2:
        raise ValueError(f"k={k} leaves nothing to choose from: take groups of 2 or more")
    if preference.ndim != 2 or preference.shape[0] != preference.shape[1]:
        raise ValueError(f"preference of shape {preference.shape} does not compare a support with itself: take [s, s]")
    preference = floating(preference)  # of Booleans true + true is true
    require("preference", preference, lambda w: (w >= 0) & (abs(w + w.T - 1) < SLACK), "is not P >= 0 with P + P^T = 1")
    s = preference.shape[0]
    others = np.array(list(itertools.combinations_with_replacement(range(s), k - 1)))  # [groups, k - 1]
    counts = (others[:, :, None] == np.arange(s)).sum(axis=1)
    ways = [math.factorial(k - 1) / math.prod(map(math.factorial, count)) for count in counts.tolist()]
    groups = np.concatenate([np.repeat(np.arange(s), len(others))[:, None], np.tile(others, (s, 1))], axis=1)
    won = jax.vmap(_first_wins)(preference[groups[:, :, None], groups[:, None, :]]).reshape(s, len(others))
    table = won * jnp.broadcast_to(jnp.array(ways, won.dtype) * k, won.shape)

    def operator(p: Array, k: Any = k) -> Array:
        del k
        return table @ jnp.prod(floating(p)[others], axis=1)

    return operator


def pairwise_trajectory(
    p_0: Array,
    preference: Array,
    *,
    k: int,
    lam: Array | float,
    num: int,
    p_ref: Array | None = None,
    observe: Callable[[Array], Any] = lambda p: p,
) -> Any:
    """p_0, ..., p_num of curated retraining under duels, `[num + 1, s]`, or what `observe` makes of each.

    The pure loop never settles on a strict cycle: for K = 2 and rock, paper, scissors Π p_i falls in each generation,
    in spirals outwards. With real data at the centre it is stable for η < 1 / √(1 + a²/3), a = 2 P(rock beats
    scissors) − 1 and η = λ / (1 + λ); beyond that it circles for ever. Arguments are those of `pairwise_ratio` and
    `trajectory`.
    """
    operator = pairwise_operator(preference, k)
    return course(lambda p: operator(p, k), p_0, lam=lam, num=num, p_ref=p_ref, observe=observe)


def _first_wins(wins: Array) -> Array:
    """The first one's share of time as champion, `[]`, where row beats column with `wins` `[k, k]`.

    It solves π (rates − diag of leaving) = 0 with Σ π = 1: one equation of the former says nothing new.
    """
    k = wins.shape[0]
    rate = jnp.where(jnp.eye(k, dtype=bool), 0.0, wins.T)
    balance = rate.T - jnp.diag(rate.sum(axis=1))
    return jnp.linalg.solve(balance.at[-1].set(1.0), jnp.zeros(k, wins.dtype).at[-1].set(1.0))[0]
