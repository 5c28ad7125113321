"""Adversaries who flip labels: rewards learnt from attacked comparisons, and the courses of loops curated by them."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import attacks, metrics, theory
from curated_retraining.types import Array, Generation
from experiments import common, loops
from experiments.adversary import world
from experiments.adversary.world import World
from experiments.gmm import RING

KINDS = ("gradient", "random")


def cells(budgets: Sequence[float]) -> list[tuple[str, float]]:
    """Every attack with every budget."""
    return [(kind, budget) for kind in KINDS for budget in budgets]


def learn(
    budgets: Sequence[float], *, gamma: float, comparisons: int, horizon: int, seeds: Sequence[int]
) -> np.ndarray:
    """The rewards learnt under attack, w `[cells × seeds, modes]`."""
    reward = world.genuine(gamma)

    def of(budget, by_gradient, seed):
        key = jax.random.fold_in(jax.random.key(seed), 2)  # 0 and 1 would be the keys of the loop
        first_key, second_key, label_key, flip_key = jax.random.split(key, 4)
        first, second = (RING.draw(key, comparisons).x for key in (first_key, second_key))
        prefers = jax.nn.sigmoid(reward(first) - reward(second))
        label = (jax.random.uniform(label_key, (comparisons,)) < prefers).astype(float)
        fit = Partial(attacks.bradley_terry, world.features(first) - world.features(second))

        def outcome(label):
            """log E[e^r] after `horizon` generations at K = ∞ by what is learnt from the labels."""
            tilt = horizon * (world.features(first) @ fit(label))
            return jax.nn.logsumexp(reward(first) + tilt) - jax.nn.logsumexp(tilt)

        num = jnp.round(budget * comparisons)
        worst = attacks.worst_flips(outcome, label, num)
        chosen = jnp.where(by_gradient, worst, attacks.random_flips(flip_key, comparisons, num))
        return fit(attacks.flip(label, chosen))

    grid = [(budget, kind == "gradient", seed) for kind, budget in cells(budgets) for seed in seeds]
    columns = tuple(jnp.array(column) for column in zip(*grid, strict=True))
    return np.asarray(jax.jit(lambda columns: jax.lax.map(lambda row: of(*row), columns))(columns))


def play(
    folder: Path, weights: np.ndarray, budgets: Sequence[float], *, gamma: float, curated: int, real: int
) -> dict[str, np.ndarray]:
    """Drives the loops curated at K = ∞ by the learnt rewards: `[cells, seeds, generations + 1]` a metric."""

    def make(weight):
        reward = world.linear(weight)
        observe = metrics.join(metrics.proportions(RING.label, world.MODES), Partial(_observe, world.genuine(gamma)))
        pool = 4 * curated
        return world.loop(reward, cr.tilt(), observe, pool=pool, slot=pool, real=real)

    columns = [
        {"attack": kind, "budget": budget, "seed": seed} for kind, budget in cells(budgets) for seed in common.seeds()
    ]
    grid = [{"weight": weight, "seed": row["seed"]} for weight, row in zip(weights, columns, strict=True)]
    return loops.driven(folder, make, grid, columns=columns)


def courses(plane: World, weights: np.ndarray, *, generations: int) -> dict[str, np.ndarray]:
    """The exact courses by each learnt reward, `[cells × seeds, generations + 1]`."""

    def of(weight):
        learnt = world.features(plane.x) @ weight
        tilt = jnp.exp(learnt)
        return theory.course(
            lambda p: tilt / (p @ tilt),
            plane.p_ref,
            lam=jnp.inf,
            num=generations,
            observe=lambda p: _moments(p, plane.reward, learnt),
        )

    return jax.tree.map(np.asarray, jax.jit(lambda weights: jax.lax.map(of, weights))(weights))


def _moments(p: Array, r: Array, learnt: Array) -> dict[str, Array]:
    a, b = jnp.exp(r), jnp.exp(learnt)
    covariance = p @ ((a - p @ a) * (b - p @ b))
    return {"genuine": p @ a, "covariance": covariance, "gain": covariance / (p @ b)}


def _observe(genuine, record: Generation):
    n = record.pool.shape[0]
    return _moments(jnp.full(n, 1 / n), genuine(record.pool), record.reward)
