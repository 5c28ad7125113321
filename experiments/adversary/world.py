"""The ring, the reward that people mean, and what the two parts of the experiment share."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import data
from curated_retraining.grids import Loop
from curated_retraining.types import Array, Curator, Metrics, Reward
from experiments import loops
from experiments.gmm import RING
from experiments.plane import population

MODES = len(RING.names)
WIDTH = 0.6  # of the bump that is a feature, a mode each
MODEL = 2 * MODES  # components of the mixture that is retrained


class World(NamedTuple):
    """The population on a grid and the genuine reward of its points."""

    x: Array  # [g, 2]
    p_ref: Array  # [g]
    reward: Array  # [g]
    reward_range: float  # more than that of rewards in any pool


def features(x: Array) -> Array:
    """φ: how near each of `x` `[n, 2]` is to each mode, `[n, modes]` in (0, 1]."""
    centres = data.ring_means(MODES)

    def bump(point, centre):
        return jnp.exp(-jnp.sum((point - centre) ** 2) / (2 * WIDTH**2))

    return jax.vmap(jax.vmap(bump, in_axes=(None, 0)), in_axes=(0, None))(x, centres)


def linear(weight: Array) -> Reward:
    """⟨w, φ(x)⟩ for `weight` `[modes]`."""
    return Partial(_linear, weight)


def genuine(gamma: float) -> Reward:
    """What people mean: γ cos(angle) of the modes, so that mode 0 is best and mode 4 worst."""
    return linear(gamma * jnp.cos(2 * jnp.pi * jnp.arange(MODES) / MODES))


def on_grid(gamma: float) -> World:
    """The ring and the genuine reward on a grid."""
    plane = population.on_grid(RING, genuine(gamma), 0.0)
    return World(plane.x, plane.p_ref, plane.reward, float(jnp.ceil(plane.reward_range(1.0))) + 1)


def loop(reward: Reward, curate: Curator, observe: Metrics, *, real: int, pool: int, slot: int) -> Loop:
    """The pure loop of a mixture of Gaussians from `real` points."""

    first, later = (cr.gmm(components=MODEL, steps=steps) for steps in (60, 10))
    of_pool = {"reward": reward, "curate": curate, "mixing": cr.replace(), "metrics": observe}
    return loops.loop(first, later, lambda key: RING.draw(key, real), pool=pool, slot=slot, **of_pool)


def _linear(weight, x):
    return features(x) @ weight
