"""The courses that are compared: measured, foretold, and that of a learner without fault."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import forecast
from curated_retraining.data import cumulative, draw_index
from curated_retraining.types import Array, LoopState, Model
from experiments import common
from experiments.plane import loops
from experiments.plane.run import Played
from experiments.plane.target import Target

FLAGS = flags.FLAGS
REPEATS = 8  # loops of the perfect learner, for the size of sampling errors


class Start(NamedTuple):
    """What is known before any retraining, of every cell."""

    reward: Array  # [cells, n], of the samples of generation 0
    label: Array  # [cells, n]
    real_reward: Array  # [cells, m]
    real_label: Array  # [cells, m]
    lam: Array  # [cells]


class Course(NamedTuple):
    """Class shares and the mean reward less that of generation 0, in its standard deviations."""

    share: np.ndarray  # [..., generations + 1, classes]
    reward: np.ndarray  # [..., generations + 1]


def known(target: Target, played: Played) -> Start:
    """Rewards and labels of generation 0's samples and of the real data."""
    seeds = jnp.tile(jnp.asarray(common.seeds()), len(FLAGS.lam))

    def of(inputs):
        pool, seed = inputs
        real = loops.real_data(target, seed, FLAGS.real).x
        return played.reward(pool), target.label(pool), played.reward(real), target.label(real)

    pools = jnp.asarray(played.history["pool"][0])
    reward, label, real_reward, real_label = jax.jit(lambda *cells: jax.lax.map(of, cells))(pools, seeds)
    lams = jnp.asarray(np.repeat([float(lam) for lam in FLAGS.lam], FLAGS.seeds), jnp.float32)
    return Start(reward, label, real_reward, real_label, lams)


def foretell(start: Start, **options: Any) -> Course:
    """The forecast of every cell."""

    def of(start):
        course = forecast.forecast(
            start.reward,
            start.label,
            lam=start.lam,
            real_reward=start.real_reward,
            real_label=start.real_label,
            **options,
        )
        return course.share, course.reward_mean

    share, reward = jax.jit(lambda start: jax.lax.map(of, start))(start)
    return standardised(share, reward, start)


def play_perfectly(start: Start, classes: int, pool: int, k: int, temperature: float) -> Course:
    """The sampled loop of a learner without fault that begins with generation 0's samples: `[cells, repeats, ...]`."""

    def of(inputs):
        start, key = inputs
        reward = jnp.concatenate([start.reward, start.real_reward])
        label = jnp.concatenate([start.label, start.real_label])
        n, m = start.reward.size, start.real_reward.size
        mixing = cr.with_real(start.lam)
        step = cr.retraining(
            frequencies(n + m),
            reward=Partial(jnp.take, reward),
            curate=cr.k_way(k, cr.luce(temperature)),
            mixing=mixing,
            pool_size=pool,
            metrics=cr.metrics.join(
                cr.metrics.proportions(Partial(jnp.take, label), classes), cr.metrics.reward_moments()
            ),
        )
        p_0 = jnp.where(jnp.arange(n + m) < n, 1 / n, 0.0)
        real = cr.uniform(n + jnp.arange(m))
        state = LoopState(jnp.zeros((), int), p_0, mixing.init(real, pool // k), ())

        def once(key):
            history = cr.run(key, state, step, FLAGS.generations + 1)[1]
            return history["share"], history["reward_mean"]

        return jax.lax.map(once, jax.random.split(key, REPEATS))

    keys = jax.random.split(jax.random.key(2), len(start.lam))
    share, reward = jax.jit(lambda start, keys: jax.lax.map(of, (start, keys)))(start, keys)
    return standardised(share, reward, start)


def frequencies(num: int) -> Model:
    """All distributions over the numbers 0..num−1, fitted exactly."""

    def fit(key, state, data):
        del key
        return jnp.zeros_like(state).at[data.x].add(data.weight)

    def sample(key, state, num):
        return draw_index(key, cumulative(state), num)

    return Model(lambda key, x: jnp.full(num, 1 / num), fit, sample, log_prob=None)


def standardised(share: Array | np.ndarray, reward: Array | np.ndarray, start: Start) -> Course:
    """`share` `[cells, ..., t, classes]` and mean `reward` `[cells, ..., t]` by generation 0's mean and deviation."""
    sd = np.asarray(start.reward).std(axis=1).reshape(-1, *(1,) * (np.ndim(reward) - 1))
    mean = np.asarray(reward)
    return Course(np.asarray(share), (mean - mean[..., :1]) / sd)
