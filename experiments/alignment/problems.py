"""The two problems: a finite support, where everything is exact but the samples, and the ring with a flow."""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import alignment, theory
from curated_retraining.alignment import policy
from curated_retraining.types import Array, Dataset, Model, PRNGKey, Reward, State, Static, lift, lift_all
from experiments.gmm import RING
from experiments.plane import population

ANSWERS = 40  # of the finite support


class Points(NamedTuple):
    """Where distributions are measured, and the real one there."""

    x: Array  # [s, *event]
    cell: float  # the volume that a point stands for
    p_ref: Array  # [s], sums to one
    reward: Array  # [s]


class Gradients(NamedTuple):
    """How DPO and REINFORCE train."""

    steps: int
    batch: int  # pairs or samples a step
    dpo_rate: float  # Adam's, times 1 / β; falls to zero by a cosine
    rate: float  # of REINFORCE's plain gradient ascent or, where `adam`, of Adam
    adam: bool


class Problem(NamedTuple):
    """What a method is given."""

    draw: Callable[[PRNGKey], Dataset]  # the real data
    first: Model  # of generation 0
    model: Model  # of a refit
    family: policy.Family
    reward: Reward
    points: Points
    gradients: Static  # of `Gradients`


def finite(gamma: float, steps: int) -> Problem:
    """Forty answers, the i-th with probability ∝ 1/i and rewards like γ times normal ones, in no order."""
    index = jnp.arange(ANSWERS)
    p_ref = 1 / (index + 1.0)
    p_ref = p_ref / p_ref.sum()
    spread = jnp.mod((index + 0.5) * (5**0.5 - 1) / 2, 1.0)  # golden ratio: even on (0, 1), unrelated to rank
    reward = gamma * jax.scipy.stats.norm.ppf(spread)
    support = index[:, None].astype(float)
    model = lift_all(cr.finite(support))
    return Problem(
        draw=Partial(_all_of, Dataset(support, p_ref)),
        first=model,
        model=model,
        family=lift(alignment.softmax(support)),
        reward=Partial(_of_answer, reward),
        points=Points(support, 1.0, p_ref, reward),
        gradients=Static(Gradients(steps, batch=256, dpo_rate=0.1, rate=4.0, adam=False)),
    )


def ring(gamma: float, real: int, first_steps: int, refit_steps: int, steps: int) -> Problem:
    """The ring with a reward that falls by γ a unit from the disc of radius r_min around its mode 0."""
    shape = {"layers": 4, "width": 32, "depth": 1, "batch_size": 256}
    falling, constant = optax.cosine_decay_schedule(4e-3, first_steps), optax.constant_schedule(2e-3)
    model = lift_all(cr.flow(**shape, learning_rate=constant, steps=refit_steps))  # a schedule too: they share a state
    reward = cr.distance(jnp.array(RING.liked), r_min=RING.r_min, gamma=gamma)
    plane = population.on_grid(RING, reward, 0.0)
    return Problem(
        draw=Partial(_of_ring, Static(real)),
        first=lift_all(cr.flow(**shape, learning_rate=falling, steps=first_steps)),
        model=model,
        family=lift(alignment.network(model)),
        reward=reward,
        points=Points(plane.x, plane.cell, plane.p_ref, plane.reward),
        gradients=Static(Gradients(steps, batch=256, dpo_rate=1e-3, rate=2e-3, adam=True)),
    )


def place(points: Points, p: Array) -> dict[str, Array]:
    """Where `p` `[s]` lies: its KL and mean reward, and how much more KL than the least at that reward."""
    kl, reward = theory.tradeoff(p, points.p_ref, points.reward)
    excess = theory.implied_rlhf(p, points.p_ref, points.reward).distance
    return {"kl": kl, "reward_mean": reward, "excess_kl": excess}


def measure(problem: Problem, state: State) -> dict[str, Array]:
    """`place` of a model by its density at the points, and its mass there, of which what lacks to one is out of sight.

    All of it is that of the model, not of a sample.
    """
    density = cast(Callable, problem.model.log_prob)(state, problem.points.x)
    mass = jnp.exp(density) * problem.points.cell
    return place(problem.points, mass / mass.sum()) | {"mass": mass.sum()}


def _all_of(data, key):
    del key
    return data


def _of_ring(num: Static, key):
    return cr.ring(key, num.value)


def _of_answer(reward, x):
    return reward[x[:, 0].astype(int)]
