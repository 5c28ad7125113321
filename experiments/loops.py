"""Loops that begin with real data of their own, and how the flags drive all cells of them in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags
from jax.sharding import Mesh

import curated_retraining as cr
from curated_retraining import grids
from curated_retraining.driver import Cells, drive
from curated_retraining.types import Curator, Dataset, LoopState, Metrics, Mixing, Model, Preference, PRNGKey, Reward
from experiments import common
from experiments.repeated import by_row

FLAGS = flags.FLAGS


def loop(
    first: Model,
    later: Model,
    draw: Callable[[PRNGKey], Dataset],
    *,
    reward: Reward | Preference,
    curate: Curator,
    mixing: Mixing,
    pool: int,
    slot: int,
    metrics: Metrics,
) -> grids.Loop:
    """A loop that fits `first` to real data `draw(key)` and refits `later`, of the same states; see `cr.retraining`."""
    step = cr.retraining(later, reward=reward, curate=curate, mixing=mixing, pool_size=pool, metrics=metrics)

    def start(key: PRNGKey) -> LoopState:
        data_key, start_key = jax.random.split(key)
        return cr.start(start_key, first, mixing, draw(data_key), slot=slot, reward=reward)

    return grids.Loop(start, step)


def driven(
    folder: Path,
    make: Callable[..., grids.Loop],
    cells: Cells,
    *,
    columns: Cells | None = None,
    mesh: Mesh | None = None,
    **settings: Any,
) -> dict[str, np.ndarray]:
    """Drives the loops of `make` at all `cells`, the seed changing fastest: `[rows, seeds, generations + 1, ...]`.

    `columns` tell the cells apart in `metrics.csv`, where that is to be in other words; devices of a `mesh` share them;
    `settings` are what the results depend on beside the flags.
    """
    history = drive(
        folder,
        common.settings() | settings,
        *grids.programs(make, cells, mesh=mesh),
        cells=columns or cells,
        generations=FLAGS.generations,
        every=FLAGS.every,
        keep=FLAGS.keep,
        sharding=mesh and grids.over(mesh),
    )
    return {name: by_row(values, len(cells) // FLAGS.seeds) for name, values in history.items()}


def require_groups(pool: int) -> None:
    """Refuses a pool that does not split into groups of `--k`."""
    if pool % FLAGS.k:
        raise app.UsageError(f"--pool={pool} does not split into groups of --k={FLAGS.k}: take a multiple of {FLAGS.k}")
