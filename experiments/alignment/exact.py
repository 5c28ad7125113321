"""What a perfect learner does by each method: where it lies on the points of a problem, a row a generation."""

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

    @jax.jit
    def of(points, lam):
        return theory.trajectory(
            points.p_ref, points.reward, k=k, lam=lam, num=generations, temperature=temperature,
            reward_range=math.ceil(spread) + 1, observe=lambda p: place(points, p),
        )  # fmt: skip

    return of(points, jnp.asarray(lam, jnp.float32))


def best_of_n(points: Points, n: int) -> Places:
    """The law of the best of n."""
    return once(points, theory.best_of_n(points.p_ref, points.reward, n))


def optimum(points: Points, beta: float, temperature: float = 1.0) -> Places:
    """The KL-regularised optimum of REINFORCE, and of DPO on pairs decided at `temperature`."""
    return once(points, theory.rlhf_optimum(points.p_ref, points.reward, beta * temperature))


def once(points: Points, p: Array) -> Places:
    """The places of the real distribution and of `p`."""
    return jax.vmap(lambda p: place(points, p))(jnp.stack([points.p_ref, p]))


def frontier(points: Points, tilts: Array) -> Places:
    """The optima p_ref e^{θ r} for each θ = 1/β of `tilts`, from which one that is 0 leaves p_ref."""

    @jax.jit
    def of(points, tilts):
        return jax.lax.map(
            lambda tilt: place(points, jax.nn.softmax(jnp.log(points.p_ref) + tilt * points.reward)), tilts
        )

    return of(points, tilts)
