"""People whose taste moves: the loops that they curate, and their exact courses."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids, metrics, preferences, theory
from curated_retraining.types import Array, Generation, LoopState, Preference, PRNGKey, Static, Step
from experiments import loops
from experiments.gmm import RING
from experiments.plane import models, population

FLAGS = flags.FLAGS
KINDS = ("co_evolving", "drifting")
MODELS = ("gmm", "finite")


class Sizes(NamedTuple):
    """What belongs to the program."""

    model: str
    k: int
    pool: int
    real: int


def build(kind: str) -> tuple[Preference, Partial]:
    """The people of `--taste`, and what makes w `[2]` of their state."""
    if kind == "drifting":
        path = Partial(direction_at, float(FLAGS.period))
        return preferences.drifting(_liking, path), path
    weight = jnp.array([float(text) for text in FLAGS.weight])
    return preferences.co_evolving(direction, weight, FLAGS.beta), Partial(_itself)


def make(
    sizes: Static, preference: Preference, taste: Partial, temperature: Array | float, *, lam: Array
) -> grids.Loop:
    """The loop of one cell; all but `sizes` may be traced. It reports w too, which `taste` makes of the state."""
    name, k, pool, num_real = sizes.value
    first, later = (models.build(name, RING, steps) for steps in (models.SIZES[name].first, models.SIZES[name].steps))
    loop = loops.loop(
        first,
        later,
        lambda key: RING.draw(key, num_real),
        reward=preference,
        curate=cr.k_way(k, cr.luce(temperature)),
        mixing=cr.with_real(lam),
        pool=pool,
        slot=pool // k,
        metrics=metrics.join(metrics.reward_moments(), _seen, metrics.proportions(RING.label, len(RING.names))),
    )
    return loop._replace(step=Partial(_with_taste, loop.step, taste))


def exact(kind: str, lams: np.ndarray) -> dict[str, np.ndarray]:
    """The exact twins of the measured metrics, `[lams, generations + 1, ...]`, by a perfect learner on a grid."""
    plane = population.on_grid(RING, lambda x: x[:, 0], 0.0)
    features, modes = direction(plane.x), jax.nn.one_hot(plane.label, len(RING.names))
    _, taste = build(kind)

    def observe(p, state):
        mean, w, share = p @ features, taste(state), p @ modes
        lengths = {"population_length": jnp.sqrt(mean @ mean), "taste_length": jnp.sqrt(w @ w)}
        return {"reward_mean": mean @ w, "entropy": metrics.entropy(share), "population": mean, "taste": w} | lengths

    def follow(state, kept):
        return state + 1 if kind == "drifting" else theory.follow_the_kept(state, kept, features, FLAGS.beta)

    def course(lam):
        return theory.moving_trajectory(
            plane.p_ref,
            jnp.zeros(()) if kind == "drifting" else jnp.array([float(text) for text in FLAGS.weight]),
            reward=lambda state: features @ taste(state),
            follow=follow,
            k=FLAGS.k,
            lam=lam,
            num=FLAGS.generations,
            temperature=FLAGS.temperature,
            reward_range=math.ceil(2 / FLAGS.temperature) + 1.0 if FLAGS.temperature else 1.0,
            observe=observe,
        )

    return jax.tree.map(np.asarray, jax.jit(lambda lams: jax.lax.map(course, lams))(jnp.asarray(lams, float)))


def direction(x: Array) -> Array:
    """φ: `x` `[n, 2]` as unit vectors."""
    return x / jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))


def direction_at(period: Array | float, generation: Array) -> Array:
    """The unit vector `[2]` that turns once round in `period` generations, from (1, 0)."""
    angle = 2 * jnp.pi * generation / period
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def _liking(w: Array) -> Partial:
    return Partial(_reward, w)


def _reward(w: Array, x: Array) -> Array:
    return direction(x) @ w


def _itself(w: Array) -> Array:
    return w


def _seen(record: Generation) -> dict[str, Array]:
    mean = direction(record.pool).mean(axis=0)
    return {"population": mean, "population_length": jnp.sqrt(mean @ mean)}


def _with_taste(step: Step, taste: Partial, key: PRNGKey, state: LoopState) -> tuple[LoopState, dict[str, Array]]:
    following, report = step(key, state)
    w = taste(state.preference)
    return following, report | {"taste": w, "taste_length": jnp.sqrt(w @ w)}
