"""The real data by class and by how much they are liked, which is all of them that curation can tell apart."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining.types import Array
from experiments.plane.population import Population

WIDTH = 0.05  # of a level in the reward at γ = 1, a sixth of a mode's sd: limits are off by less than 1e-3
LEAST = 1e-9  # of a level's mass: the far corners of the plane would only widen the range of rewards


class Levels(NamedTuple):
    """Points of one class and nearly one reward as one point of a finite support."""

    p_ref: Array  # [s], sums to one
    reward: Array  # [s] at γ = 1, the mean over the level
    one_hot: Array  # [s, classes]

    def share(self, p: Array) -> Array:
        """The shares of the classes `[classes]` under `p` `[s]`."""
        return p @ self.one_hot


def merge(plane: Population, classes: int, width: float = WIDTH) -> Levels:
    """`plane`, whose reward has γ = 1, by levels of `width`; the best points are a level of their own.

    Curation multiplies probabilities by a function of the reward alone, so points of a level keep their proportions.
    """
    reward, label = np.asarray(plane.reward, float), np.asarray(plane.label)
    p = np.asarray(plane.p_ref, float)
    depth = np.ceil((reward.max() - reward) / width).astype(int)
    found, level = np.unique(np.stack([label, depth]), axis=1, return_inverse=True)
    mass = np.bincount(level, p)
    kept = mass > LEAST * p.sum()
    mean = np.bincount(level, p * reward)[kept] / mass[kept]
    p_ref = mass[kept] / mass[kept].sum()
    return Levels(
        jnp.asarray(p_ref, jnp.float32),
        jnp.asarray(mean, jnp.float32),
        jax.nn.one_hot(jnp.asarray(found[0, kept]), classes),
    )
