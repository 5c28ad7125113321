"""What curation reads in the place of the true reward, and the loops that it curates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids, preferences
from curated_retraining.networks.mlp import MLP
from curated_retraining.types import Array, Generation, Preference, Reward, Static
from experiments import loops
from experiments.gmm import RING
from experiments.plane import population

FLAGS = flags.FLAGS
NAMES = ("truth", "frozen", "refitted", "ensemble")


class Sizes(NamedTuple):
    """What belongs to the program."""

    proxy: str
    k: int
    pool: int
    real: int
    comparisons: int
    steps: int
    members: int


def problem() -> tuple[Array, Reward, np.ndarray]:
    """The points of the first choices, r less its mean over them, and its exact mean `[lams, generations + 1]`."""
    examples = RING.draw(jax.random.key(7), FLAGS.real).x
    felt = cr.distance(jnp.array(RING.liked), r_min=0.0, gamma=FLAGS.gamma)
    truth = Partial(_less, felt, felt(examples).mean())
    plane = population.on_grid(RING, truth, 0.0)
    population.require_range(plane, FLAGS.gamma, FLAGS.temperature)
    p, _ = population.course(
        plane,
        k=FLAGS.k,
        lams=np.array([float(lam) for lam in FLAGS.lam]),
        temperature=FLAGS.temperature,
        generations=FLAGS.generations,
    )
    return examples, truth, np.asarray(p @ plane.reward)


def make(
    sizes: Static,
    truth: Reward,
    examples: Array,
    temperature: Array | float,
    *,
    lam: Array,
    pessimism: Array | float = 0.0,
) -> grids.Loop:
    """The loop of one cell; all but `sizes` may be traced."""
    _, k, pool, num_real, *_ = sizes.value
    model, mixing, preference = cr.gmm(8, steps=10), cr.with_real(lam), build(sizes.value, truth, examples, pessimism)
    return loops.loop(
        model,
        model,
        lambda key: RING.draw(key, num_real),
        reward=preference,
        curate=cr.k_way(k, cr.luce(temperature)),
        mixing=mixing,
        pool=pool,
        slot=pool // k,
        metrics=Partial(both, truth),
    )


def build(sizes: Sizes, truth: Reward, examples: Array, pessimism: Array | float) -> Preference:
    """What curation reads."""
    if sizes.proxy == "truth":
        return preferences.constant(truth)
    proxy = preferences.learned(
        MLP(out=1),
        truth,
        cr.luce(),
        examples,
        comparisons=sizes.comparisons,
        members=sizes.members if sizes.proxy == "ensemble" else 1,
        pessimism=pessimism,
        steps=sizes.steps,
        batch_size=64,
        learning_rate=3e-3,
    )
    return proxy if sizes.proxy == "refitted" else preferences.frozen(proxy)


def both(truth: Reward, record: Generation) -> dict[str, Array]:
    """Means of the proxy and of the true reward in the pool, their difference, and how the two go together."""
    felt = truth(record.pool)
    means = {"reward_mean": record.reward.mean(), "true_mean": felt.mean()}
    correlation = jnp.corrcoef(record.reward, felt)[0, 1]
    return means | {"gap": means["reward_mean"] - means["true_mean"], "correlation": correlation}


def _less(reward: Reward, offset: Array, x: Array) -> Array:
    return reward(x) - offset
