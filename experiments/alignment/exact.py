"""What a perfect learner does by each method: where it lies on the points of a problem, a row a generation."""

import functools
import math

import jax
import jax.numpy as jnp

from curated_retraining import theory
from curated_retraining.types import Array
from experiments.alignment.problems import Points, place

Places = dict[str, Array]  # each [generations + 1]


def loop(points: Points, lam: float, *, k: float, temperature: float, generations: int) -> Places:
    """The curated loop; at K = ∞ and λ = ∞ it is reward-weighted regression."""
    spread = float(points.reward.max() - points.reward.min()) / temperature
    return _course(points, lam, k, temperature, generations, math.ceil(spread) + 1)


@jax.jit
def best_of_n(points: Points, n: float) -> Places:
    """The law of the best of n."""
    return once(points, theory.best_of_n(points.p_ref, points.reward, n))


@jax.jit
def optimum(points: Points, beta: float, temperature: float = 1.0) -> Places:
    """The KL-regularised optimum of REINFORCE, and of DPO on pairs decided at `temperature`."""
    return once(points, theory.rlhf_optimum(points.p_ref, points.reward, beta * temperature))


def once(points: Points, p: Array) -> Places:
    """The places of the real distribution and of `p`."""
    return jax.vmap(lambda p: place(points, p))(jnp.stack([points.p_ref, p]))


@jax.jit
def frontier(points: Points, tilts: Array) -> Places:
    """The optima p_ref e^{θ r} for each θ = 1/β of `tilts`, from which one that is 0 leaves p_ref."""

    def of(tilt):
        return place(points, jax.nn.softmax(jnp.log(points.p_ref) + tilt * points.reward))

    return jax.lax.map(of, tilts)


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _course(points, lam, k, temperature, generations, reward_range) -> Places:
    return theory.trajectory(
        points.p_ref, points.reward, k=k, lam=lam, num=generations, temperature=temperature, reward_range=reward_range,
        observe=lambda p: place(points, p),
    )  # fmt: skip
