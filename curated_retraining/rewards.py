"""Rewards: functions from points to what an annotator feels about each.

Any function `[n, *event] -> [n]` is a reward. These return a `Partial`, so that targets and network weights are
inputs of the compiled loop: new values cause no retrace.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.types import Array, Reward, Static, floating, lift, of_classes, of_points, require


def distance(target: Array, r_min: float = 1.0, gamma: float = 10.0) -> Reward:
    """−γ max(0, ‖x − target‖ − r_min): best, and zero, within `r_min` of `target` `[*event]` (the paper's §5.1).

    `r_min` ≥ 0 is in the units of the data, `gamma` γ ≥ 0 and finite.
    """
    require("r_min", r_min, lambda r: r >= 0, "is not a radius: take a number of at least 0")
    require("gamma", gamma, lambda g: (g >= 0) & (g < jnp.inf), "is not a reward scale: take a finite number ≥ 0")
    return Partial(_distance, jnp.asarray(target), r_min, gamma)


def log_density(log_prob: Callable[[Array], Array], gamma: float = 1.0) -> Reward:
    """γ log p(x) for a log-density `[n, *event] -> [n]`: people who like what is typical."""
    return scale(log_prob, gamma)


def class_probability(classifier: Callable[[Array], Array], label: int, gamma: float = 5.0) -> Reward:
    """γ q_label(x), in [0, γ], for a classifier that returns logits `[n, classes]` (the paper's §5.2)."""
    return Partial(_class_probability, lift(classifier), label, gamma)


def confidence(classifier: Callable[[Array], Array], gamma: float = 15.0) -> Reward:
    """γ max_i q_i(x), in [γ / classes, γ], for a classifier that returns logits `[n, classes]` (the paper's §5.2)."""
    return Partial(_confidence, lift(classifier), gamma)


def tempered(classifier: Callable[[Array], Array], temperature: float | Array) -> Callable[[Array], Array]:
    """A classifier whose logits `[n, classes]` are divided by `temperature` > 0, for rewards that trust it less.

    `classifiers.temperature` finds the temperature at which its probabilities are calibrated.
    """
    require("temperature", temperature, lambda t: (t > 0) & (t < jnp.inf), "is not a temperature: take a positive one")
    return Partial(_tempered, lift(classifier), temperature)


def entropy_bonus(
    reward: Reward, label: Callable[[Array], Array], classes: int, strength: float | Array = 1.0
) -> Reward:
    """r(x) − c log P(class of x), P being the shares of the classes among the points judged together, c the strength.

    Rare classes are worth more. Where r depends on the class alone, K-wise choice by it at any K and temperature stands
    still exactly at P ∝ e^{r/c}, which maximises E[r] + c H(P). `label` maps `[n, *event]` to integers `[n]` in
    0..classes−1, and any other is worth NaN; c ≥ 0 is data.
    """
    require("strength", strength, lambda c: c >= 0, "is not the strength of a bonus: take a number of at least 0")
    return Partial(_entropy_bonus, lift(reward), lift(label), Static(classes), strength)


def stack(*rewards: Reward) -> Reward:
    """One column an annotator: `[n, annotators]`."""
    return Partial(_stack, tuple(lift(reward) for reward in rewards))


def combine(rewards: tuple[Reward, ...] | list[Reward], weights: Array) -> Reward:
    """The weighted sum Σ_i weights[i] r_i(x), for as many `weights` `[rewards]` as rewards."""
    if jnp.shape(weights) != (len(rewards),):
        raise ValueError(f"{len(rewards)} rewards need a row of as many weights, not one of shape {jnp.shape(weights)}")
    return Partial(_combine, stack(*rewards), jnp.asarray(weights))


def scale(reward: Reward, factor: float) -> Reward:
    """`factor` times a reward."""
    return Partial(_scale, lift(reward), factor)


def negate(reward: Reward) -> Reward:
    """An annotator who wants the opposite."""
    return scale(reward, -1.0)


def _distance(target, r_min, gamma, x):
    def away(point):
        squared = jnp.sum((point - floating(target)) ** 2)  # of integers they may wrap
        return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)  # √0 has no derivative

    return -gamma * jnp.maximum(0.0, jax.vmap(away)(x) - r_min)


def _class_probability(classifier, label, gamma, x):
    share = jax.nn.softmax(classifier(x))
    known = (label >= 0) & (label < share.shape[1])
    return gamma * jnp.where(known, share[:, label], jnp.nan)  # a label may be traced: the driver refuses the NaN


def _confidence(classifier, gamma, x):
    return gamma * jax.nn.softmax(classifier(x)).max(axis=-1)


def _tempered(classifier, temperature, x):
    return classifier(x) / temperature


def _entropy_bonus(reward, label, classes: Static, strength, x):
    of_class = of_classes(label, x, classes.value)
    share = of_class @ of_class.mean(axis=0)  # 0 for no class alone
    return of_points("a reward", reward(x), x.shape[0]) - strength * jnp.log(jnp.where(share > 0, share, jnp.nan))


def _stack(rewards, x):
    return jnp.stack([reward(x) for reward in rewards], axis=-1)


def _combine(stacked, weights, x):
    return stacked(x) @ weights


def _scale(reward, factor, x):
    return factor * reward(x)
