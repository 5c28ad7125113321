"""Trained loops at cells of a phase map: one program a K over cells × seeds, resumable, and what they measured.

λ = #curated / #real, γ and the temperature are data of a program; K and the sizes are not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from tqdm import tqdm

import curated_retraining as cr
from curated_retraining import metrics
from curated_retraining.driver import History, drive
from curated_retraining.types import Array, LoopState, Metrics, Model, Static, lift_all
from experiments.phase.exact import NUMBER, Cells, Found, moments
from experiments.phase.levels import Levels
from experiments.plane import loops, models
from experiments.plane.population import Population
from experiments.plane.target import Target

LAST = 3  # generations that a measured number is the mean of


class Learner(NamedTuple):
    """What is retrained, on how much."""

    model: str
    real: int  # real points
    curated: int  # points chosen a generation; the pool is K times as many
    steps: int  # of a refit
    first_steps: int  # of generation 0


class Place(NamedTuple):
    """A cell by its settings; K is whole."""

    lam: float
    k: int
    gamma: float
    temperature: float


def places(cells: Cells) -> list[Place]:
    """The cells, counted by rows."""
    columns = (cells.lam, np.round(cells.k).astype(int), cells.gamma, cells.temperature)
    return [Place(*values) for values in zip(*(column.ravel().tolist() for column in columns), strict=True)]


def play(
    folder: Path,
    settings: dict[str, Any],
    target: Target,
    plane: Population,
    learner: Learner,
    wanted: Sequence[Place],
    *,
    liked: Sequence[float],
    r_min: float,
    seeds: Array,
    generations: int,
    every: int,
    keep: int | None = None,
) -> dict[Place, History]:
    """Drives the loops of `wanted`, those of each K in `folder/k=K`: history by cell, `[generations + 1, seeds, ...]`.

    A K that is complete is only read; one that was cut off goes on from its last checkpoint.
    """
    found = {}
    for k in sorted({place.k for place in wanted}):
        cells = list(dict.fromkeys(place for place in wanted if place.k == k))
        begin, advance = programs(target, plane, learner, cells, liked=liked, r_min=r_min, seeds=seeds)
        said = f"K = {k}: {len(cells)} cells × {len(seeds)} seeds in one program, one loop at a time"
        tqdm.write(f"{said}; reckoned memory {reckoned(begin, learner, plane, k) / 2**20:.1f} MiB")
        columns = [
            {"lam": cell.lam, "gamma": cell.gamma, "temperature": cell.temperature, "seed": int(seed)}
            for cell in cells
            for seed in seeds
        ]
        options = {"cells": columns, "generations": generations, "every": every, "keep": keep}
        history = drive(folder / f"k={k}", settings, begin, advance, **options)
        for index, cell in enumerate(cells):
            here = slice(index * len(seeds), (index + 1) * len(seeds))
            found[cell] = {name: values[:, here] for name, values in history.items()}
    return found


def programs(
    target: Target,
    plane: Population,
    learner: Learner,
    cells: Sequence[Place],
    *,
    liked: Sequence[float],
    r_min: float,
    seeds: Array,
) -> tuple[Partial, Partial]:
    """`begin` and `advance` of `driver.drive` for cells of one K; states are `[cells × seeds, ...]`."""
    first, later = (models.build(learner.model, target, steps) for steps in (learner.first_steps, learner.steps))
    sizes = Static((learner.real, learner.curated * cells[0].k, cells[0].k))
    lam, gamma, temperature = (
        jnp.repeat(jnp.array([getattr(cell, name) for cell in cells], jnp.float32), len(seeds))
        for name in ("lam", "gamma", "temperature")
    )
    observe = metrics.join(
        metrics.reward_moments(),
        metrics.proportions(target.label, len(target.names)),
        models.kl(learner.model, later, plane, target),
    )
    columns = (lam, gamma, temperature, jnp.tile(seeds, len(cells)))
    begin = Partial(loops.generation_zero, Static(target), sizes, lift_all(first), (jnp.zeros(len(cells)), seeds))
    advance = Partial(generation, sizes, lift_all(later), observe, (jnp.asarray(liked, jnp.float32), r_min), columns)
    return begin, advance


def generation(
    sizes: Static,
    model: Model,
    observe: Metrics,
    preferred: tuple[Array, float],
    columns: tuple[Array, Array, Array, Array],
    state: LoopState,
) -> tuple[LoopState, dict[str, Array]]:
    """One retraining of every cell with every seed, one after the other, `[cells × seeds, ...]`."""

    def of(cell):
        (lam, gamma, temperature, seed), state = cell
        reward = cr.distance(*preferred, gamma=gamma)
        return loops.retrained(sizes, model, reward, observe, temperature, lam, seed, state)

    return jax.lax.map(of, (columns, state))


def reckoned(begin: Partial, learner: Learner, plane: Population, k: int) -> int:
    """Bytes: twice the states of all loops, and the arrays that a generation of one of them makes."""
    states = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(begin)))
    pool, seen, grid = learner.curated * k, learner.real + learner.curated, len(plane.x)
    return 2 * states + NUMBER * (16 * pool + 32 * seen + 24 * grid)


def measured(history: History, levels: Levels, gamma: float) -> Found:
    """The numbers of `exact.of_limit` and the generations to collapse, a seed each `[seeds]`.

    Means of the last three generations; entropy and minority are those of the mean shares. The smallest of eight noisy
    shares is below the smallest exact one. `collapse` is NaN where a seed's entropy never was below half of generation
    0's.
    """
    mean, sd = (float(value) for value in moments(levels))
    last = {name: values[-LAST:].mean(axis=0) for name, values in history.items()}
    below = history["entropy"] < history["entropy"][0] / 2  # [generations + 1, seeds]
    share = last["share"]
    return {
        "reward": (last["reward_mean"] / gamma - mean) / sd,
        "entropy": -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=-1),
        "kl": last["kl"],
        "minority": share.min(axis=-1),
        "collapse": np.where(below.any(axis=0), below.argmax(axis=0), np.nan),
    }
