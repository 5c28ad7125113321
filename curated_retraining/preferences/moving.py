"""Preferences whose movement is known: people who follow what they see, who drift, and who stay as they were."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.types import Array, Generation, Preference, Reward, lift, require


def co_evolving(features: Callable[[Array], Array], weight: Array, beta: float | Array = 0.1) -> Preference:
    """r(x) = ⟨w, φ(x)⟩ by people who come to like what they see: w' = Proj_{‖w‖ ≤ 1}((1 − β) w + β E[φ]).

    The mean is over the points that the generation kept, p' of the pure loop (Wei, Xie, Zhu, Zhang). The state is w
    `[d]`. Since ‖w‖ ≤ 1, how strongly people feel is the choice's temperature or the features' scale.

    Args:
        features: φ, `[n, *event] -> [n, d]`.
        weight: the first w, `[d]`, of norm at most 1.
        beta: β in [0, 1]: how far w moves in a generation; at 0 it stays.
    """
    require("beta", beta, lambda b: (b >= 0) & (b <= 1), "is not a rate: take a number in [0, 1]")
    weight = jnp.asarray(weight, float)
    require("weight", weight, lambda w: (w**2).sum() <= 1 + 1e-5, "is longer than 1: divide it by its norm")
    features = lift(features)
    return Preference(Partial(_given, weight), Partial(_linear, features), Partial(_follow, features, beta))


def drifting(build: Callable[[Any], Reward], path: Callable[[Array], Any]) -> Preference:
    """The reward `build(path(generation))`: people whose taste moves by itself, whatever they are shown.

    The state is the generation, `[]` int32, counted from 0.

    Args:
        build: parameters -> `Reward`, such as `rewards.distance`.
        path: generation -> parameters, any pytree of arrays.
    """
    return Preference(lift(_zero), Partial(_on_path, lift(build), lift(path)), lift(_count))


def frozen(preference: Preference) -> Preference:
    """`preference` as it was in generation 0, whatever the loop makes later."""
    return preference._replace(update=lift(_unchanged))


def _given(weight, key):
    del key
    return weight


def _linear(features, weight, x):
    return features(x) @ weight


def _follow(features, beta, key, weight, record: Generation):
    del key
    seen = record.curated.weight @ features(record.curated.x)
    moved = (1 - beta) * weight + beta * seen
    return moved / jnp.maximum(1.0, jnp.sqrt(jnp.sum(moved**2)))


def _unchanged(key, state, record):
    del key, record
    return state


def _zero(key):
    del key
    return jnp.zeros((), jnp.int32)


def _on_path(build, path, generation, x):
    return build(path(generation))(x)


def _count(key, generation, record):
    del key, record
    return generation + 1
