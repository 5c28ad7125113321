"""The exact course of a curated loop in the plane, on a grid of the target's density."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app

from curated_retraining import theory
from curated_retraining.types import Array, Reward, lift
from experiments.plane.target import Target

SIDE = 112  # points along each side of the grid
MAX_RANGE = 500  # of rewards over the grid, in temperatures: the quadrature's memory grows with it


class Population(NamedTuple):
    """A target and a reward on the points of a grid."""

    x: Array  # [g, 2]; rows of the plane from low y to high y
    cell: float  # the area a point stands for
    p_ref: Array  # [g], sums to one
    reward: Array  # [g]
    label: Array  # [g]
    top_level: float  # r_* − ε: from here on a point belongs to the top level set

    def reward_range(self, temperature: float) -> float:
        """(max r − min r) / temperature; best-of-K, at 0, needs none."""
        return float(self.reward.max() - self.reward.min()) / temperature if temperature else 0.0


def on_grid(target: Target, reward: Reward, epsilon: float) -> Population:
    """`target` and `reward` on SIDE × SIDE points; r_* is the largest reward on them."""
    x0, x1, y0, y1 = target.extent
    x, y = np.meshgrid(np.linspace(x0, x1, SIDE), np.linspace(y0, y1, SIDE))
    grid = jnp.asarray(np.stack([x.ravel(), y.ravel()], axis=-1), jnp.float32)
    at_points = jax.jit(lambda reward, x: (jax.nn.softmax(target.log_density(x)), reward(x), target.label(x)))
    p_ref, rewards, labels = at_points(lift(reward), grid)
    area = (x1 - x0) * (y1 - y0) / (SIDE - 1) ** 2
    return Population(grid, area, p_ref, rewards, labels, float(rewards.max()) - epsilon)


def require_range(population: Population, gamma: float, temperature: float) -> None:
    """Refuses rewards, at this `--gamma`, that are infinite or range over more temperatures than the course takes."""
    if not jnp.isfinite(population.reward).all():
        raise app.UsageError(f"rewards in the plane are not finite with --gamma={gamma}: take smaller numbers")
    if (spread := population.reward_range(temperature)) > MAX_RANGE:
        raise app.UsageError(
            f"--gamma={gamma} with --temperature={temperature} makes rewards range over {spread:.0f} temperatures, the "
            f"exact course takes {MAX_RANGE}: lower γ, or take another --temperature"
        )


def course(
    population: Population, *, k: int, lams: np.ndarray, temperature: float, generations: int
) -> tuple[Array, Array]:
    """Exact p_0, ..., p_generations for each λ, `[lams, generations + 1, g]`, and the limits, `[lams, g]`."""
    p_ref, reward = population.p_ref, population.reward
    reward_range = float(np.ceil(population.reward_range(temperature)) + 1)
    options = {"k": k, "temperature": temperature, "reward_range": reward_range}

    @jax.jit
    def of(lam):
        p = theory.trajectory(p_ref, reward, lam=lam, num=generations, **options)
        mixed = theory.mixed_limit(p_ref, reward, lam=jnp.where(jnp.isinf(lam), 0.0, lam), **options)
        return p, jnp.where(jnp.isinf(lam), theory.pure_limit(p_ref, reward), mixed)

    return jax.lax.map(of, jnp.asarray(lams, jnp.float32))


@functools.partial(jax.jit, static_argnums=2)
def moments(population: Population, p: Array, classes: int) -> dict[str, Array]:
    """The exact twins of the measured metrics for distributions `p` `[..., g]`."""
    a = jnp.exp(population.reward)
    mean = p @ a
    log_ref = jnp.log(jnp.maximum(population.p_ref, jnp.finfo(p.dtype).tiny))  # p is zero where p_ref is
    return {
        "reward_mean": p @ population.reward,
        "exp_reward_mean": mean,
        "exp_reward_var": p @ a**2 - mean**2,
        "top_mass": p @ (population.reward >= population.top_level).astype(p.dtype),
        "share": p @ jax.nn.one_hot(population.label, classes, dtype=p.dtype),
        "kl": jax.scipy.special.xlogy(p, p).sum(axis=-1) - p @ log_ref,
    }
