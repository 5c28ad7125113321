"""Two models of the ring whose people like opposite sides: what curating one does to both, trained and exact.

Synthetic data have the share η = λ / (1 + λ) of a model's training weight, λ = #synthetic / #real, and of these the
share `other` comes from the other model. What a model passes on, to itself and to the other, is curated or raw.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import metrics, theory
from curated_retraining.driver import History, drive
from curated_retraining.types import Array, Curator, LoopState, Metrics, Model, Reward, Static, lift, lift_all
from experiments.gmm import RING
from experiments.plane import models, population
from experiments.plane.population import Population

CURATED = {"no model curated": (0, 0), "p curated": (1, 0), "q curated": (0, 1), "both curated": (1, 1)}
SIDES = np.array([[2.0, 0.0], [-2.0, 0.0]])  # what the people of p and those of q like


class Learner(NamedTuple):
    """What is retrained, on how much."""

    model: str
    real: int  # real points
    pool: int  # samples a generation
    steps: int  # of a refit
    first_steps: int  # of generation 0


class Taste(NamedTuple):
    """How people choose."""

    k: int
    temperature: float
    gamma: float
    r_min: float

    def rewards(self) -> list[Reward]:
        """Those of the people of p and of q."""
        return [cr.distance(jnp.array(side), r_min=self.r_min, gamma=self.gamma) for side in SIDES]


def shares(lam: Array | float, other: Array | float, curated: Sequence[Array | int]) -> Array:
    """S `[2, 5]` of `interacting`; `curated` says of p and of q whether what they pass on is curated."""
    synthetic = theory.curated_share(lam)
    taken = synthetic * jnp.array([[1 - other, other], [other, 1 - other]])  # [who trains, whose]
    chosen = jnp.asarray(curated, float)[None]
    real = jnp.full((2, 1), 1 - synthetic)
    return jnp.concatenate([real, taken * (1 - chosen), taken * chosen], axis=1)


def cells(others: Sequence[float]) -> list[dict[str, Any]]:
    """Who is curated, with every share of the other's data: the rows of `measured` and `exact`."""
    return [{"p_curated": p, "q_curated": q, "other": other} for p, q in CURATED.values() for other in others]


def play(
    folder: Path,
    settings: dict[str, Any],
    learner: Learner,
    taste: Taste,
    others: Sequence[float],
    seeds: Sequence[int],
    *,
    lam: float,
    generations: int,
    every: int,
    keep: int | None,
) -> History:
    """Drives all of `CURATED` × `others` × `seeds` in one program: history `[generations + 1, cells, ...]`."""
    played = [dict(cell) | {"seed": int(seed)} for cell in cells(others) for seed in seeds]
    first, later = (models.build(learner.model, RING, steps) for steps in (learner.first_steps, learner.steps))
    rows = [shares(lam, cell["other"], (cell["p_curated"], cell["q_curated"])) for cell in cells(others)]
    observe = metrics.join(
        metrics.reward_moments(), metrics.top_mass(0.0), metrics.proportions(RING.label, len(RING.names))
    )
    rewards = [lift(reward) for reward in taste.rewards()]
    curate = cr.k_way(taste.k, cr.luce(taste.temperature))
    rows, keys = jnp.repeat(jnp.stack(rows), len(seeds), axis=0), jnp.asarray([cell["seed"] for cell in played])
    return drive(
        folder,
        settings,
        Partial(generation_zero, Static((learner.real, len(played))), lift_all(first), rewards, jnp.asarray(seeds)),
        Partial(generation, Static(learner.pool), lift_all(later), rewards, curate, observe, rows, keys),
        cells=played,
        generations=generations,
        every=every,
        keep=keep,
    )


def generation_zero(sizes: Static, model: Model, rewards: list[Reward], seeds: Array) -> LoopState:
    """Each seed's two models of its own real data, shared by all cells: `[cells, ...]`, the seed changes fastest."""
    real_points, cells = sizes.value

    def of(seed):
        data_key, start_key, _ = jax.random.split(jax.random.key(seed), 3)
        return cr.start_interacting(start_key, [model] * 2, [RING.draw(data_key, real_points)] * 2, reward=rewards)

    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * (cells // len(seeds))), jax.lax.map(of, seeds))


def generation(
    pool: Static,
    model: Model,
    rewards: list[Reward],
    curate: Curator,
    observe: Metrics,
    rows: Array,
    seeds: Array,
    state: LoopState,
) -> tuple[LoopState, dict[str, Array]]:
    """One retraining of every cell, one after the other; a seed has the same keys in all of them."""

    def of(cell):
        row, seed, state = cell
        step = cr.interacting(
            [model] * 2,
            reward=rewards,
            curate=[curate] * 2,
            pool_size=[pool.value] * 2,
            shares=row,
            metrics=[observe] * 2,
        )
        _, _, loop_key = jax.random.split(jax.random.key(seed), 3)
        return step(loop_key, state)

    return jax.lax.map(of, (rows, seeds, state))


def measured(history: History, num_others: int) -> np.ndarray:
    """The mean reward of each model by its own people, `[2, curated, others, seeds, generations + 1]`."""
    values = np.stack([history[f"reward_mean_{i}"] for i in range(2)])  # [2, generations + 1, cells]
    values = np.moveaxis(values, 1, 2)
    return values.reshape(2, len(CURATED), num_others, -1, values.shape[-1])


def planes(taste: Taste) -> list[Population]:
    """What the people of p and those of q feel on a grid; refused where the exact course does not take it."""
    both = [population.on_grid(RING, reward, 0.0) for reward in taste.rewards()]
    for plane in both:
        population.require_range(plane, taste.gamma, taste.temperature)
    return both


def exact(taste: Taste, others: np.ndarray, *, lam: float, generations: int) -> np.ndarray:
    """The same of perfect learners, `[2, curated, others, generations + 1]`."""
    both = planes(taste)
    reward = jnp.stack([plane.reward for plane in both])
    reward_range = max(np.ceil(plane.reward_range(taste.temperature)) + 1 for plane in both)
    p_0 = jnp.stack([plane.p_ref for plane in both])

    @jax.jit
    def of(cell):
        return theory.interacting_trajectory(
            p_0,
            reward,
            shares(lam, cell[0], cell[1:]),
            k=taste.k,
            num=generations,
            temperature=taste.temperature,
            reward_range=float(reward_range),
            observe=lambda p: jnp.sum(p * reward, axis=1),
        )

    cells = jnp.array([[other, *curated] for curated in CURATED.values() for other in others], jnp.float32)
    course = np.asarray(jax.lax.map(of, cells))  # [cells, generations + 1, 2]
    return np.moveaxis(course, 2, 0).reshape(2, len(CURATED), len(others), -1)


INFLUENCES = {
    "curating p, q raw": ("p curated", "no model curated"),
    "curating p, q curated": ("both curated", "q curated"),
    "curating q, p raw": ("q curated", "no model curated"),
    "curating q, p curated": ("both curated", "p curated"),
}


def influences(reward: np.ndarray) -> np.ndarray:
    """What curating one model adds to the mean reward of each, `[2, 4, ...]` from `[2, curated, ...]`."""
    row = {name: index for index, name in enumerate(CURATED)}
    return np.stack([reward[:, row[with_]] - reward[:, row[without]] for with_, without in INFLUENCES.values()], axis=1)


def table(found: np.ndarray, course: np.ndarray, others: Sequence[float]) -> str:
    """The last generation's mean rewards `[2, curated, others, seeds]` against exact ones, and the influences."""
    lines = [f"{'share of the other’s data':>36}" + "".join(f"{other:9g}" for other in others)]
    for what, names, runs, of in (
        ("E[r_{}]", CURATED, found, course),
        ("change of E[r_{}]", INFLUENCES, influences(found), influences(course)),
    ):
        for i, model in enumerate("pq"):
            lines.append(what.format(model))
            for name, values, true in zip(names, runs[i].mean(axis=-1), of[i], strict=True):
                lines.append(f"{name:>27} measured" + "".join(f"{value:9.3f}" for value in values))
                lines.append(f"{'exact':>36}" + "".join(f"{value:9.3f}" for value in true))
    away = np.abs(found.mean(axis=-1) - course).max()
    lines.append(f"largest |measured − exact| of a mean reward: {away:.3f} (mean over {found.shape[-1]} seeds)")
    return "\n".join(lines)
