"""What annotators like on the ring, what is measured of a pool there, and the same of an exact distribution.

r(x) = bonus · (1 if mode 0 is the nearest) − γ max(0, ‖x − centre of mode 0‖ − 1).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import data, metrics
from curated_retraining.types import Array, Generation, Metrics, Reward
from experiments.gmm import RING
from experiments.plane import population
from experiments.plane.population import Population

MODES = len(RING.names)
LIKED = 0
LEAST_LIKED = (3, 4, 5)  # the three modes farthest from it: the minority
FAINT = 1e-9  # of the largest probability of a point: the far corners of the plane would only widen reward ranges


def liking(gamma: float, bonus: float, liked: int = LIKED) -> Reward:
    """The reward of annotators who like the mode `liked`: for being it, and for being near it."""
    near = cr.distance(data.ring_means()[liked], RING.r_min, 1.0)
    return cr.combine([Partial(_is_mode, liked), near], jnp.array([bonus, gamma]))


def observed(reward: Reward) -> Metrics:
    """Of a pool: `reward_mean` of `reward`, `share` and `entropy` of the modes, and `spread` within them.

    `spread` is the root mean squared distance to the nearest centre.
    """
    return metrics.join(Partial(_of_pool, reward), metrics.proportions(RING.label, MODES))


def real(reward: Reward) -> Population:
    """The real distribution on the points of a grid that are not faint, with `reward`."""
    plane = population.on_grid(RING, reward, 0.0)
    kept = plane.p_ref > FAINT * plane.p_ref.max()
    p_ref = plane.p_ref[kept] / plane.p_ref[kept].sum()
    return plane._replace(x=plane.x[kept], p_ref=p_ref, reward=plane.reward[kept], label=plane.label[kept])


def moments(plane: Population, p: Array) -> dict[str, Array]:
    """The exact twins of `observed` for one distribution `p` `[g]`; `plane.reward` is what is measured."""
    share = p @ jax.nn.one_hot(plane.label, MODES, dtype=p.dtype)
    spread = jnp.sqrt(p @ _squared_to_centre(plane.x))
    return {"reward_mean": p @ plane.reward, "share": share, "entropy": metrics.entropy(share), "spread": spread}


def _is_mode(mode: Any, x: Array) -> Array:
    return (RING.label(x) == mode).astype(x.dtype)


def _of_pool(reward: Reward, record: Generation) -> dict[str, Array]:
    spread = jnp.sqrt(_squared_to_centre(record.pool).mean())
    return {"reward_mean": reward(record.pool).mean(), "spread": spread}


def _squared_to_centre(x: Array) -> Array:
    return jnp.sum((x - data.ring_means()[RING.label(x)]) ** 2, axis=-1)
