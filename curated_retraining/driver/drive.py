"""A run from its beginning, or from where it was left, to its end."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial
from tqdm import tqdm

from curated_retraining import guards
from curated_retraining.driver import checkpoints, histories, interrupts
from curated_retraining.driver.folders import claimed, write
from curated_retraining.driver.generations import Cells, History, advanced
from curated_retraining.driver.histories import Place
from curated_retraining.driver.processes import RunError, first, several, together
from curated_retraining.driver.tables import columns, table

BEHIND = 1.05  # how much longer the history may have become before `metrics.csv` is written anew


def drive(
    folder: str | os.PathLike,
    settings: Mapping[str, Any],
    begin: Partial,
    advance: Partial,
    *,
    cells: Cells,
    generations: int,
    every: int = 1,
    keep: int | None = None,
    unit: str = "generation",
    sharding: Any = None,
) -> History:
    """Runs `generations` retrainings of all cells and returns their history, `[generations + 1, cells, ...]` a metric.

    The folder belongs to one set of settings and to one process at a time. It receives `config.json`, `metrics.csv` and
    `checkpoints/`; each file appears whole or not at all, and `metrics.csv` is at most a twentieth of the generations
    behind, so that a generation costs the same however many there were. `history.bin` holds all numbers, and grows
    before each checkpoint. SIGINT (Ctrl-C) and SIGTERM let the generation end and keep it before the run stops.

    Args:
        folder: made where it is missing; continued where an earlier call of the same settings left it.
        settings: all that the results depend on, as JSON values. A folder with others is refused.
        begin: () -> the state of generation 0 of all cells. `begin` and `advance` are one XLA program each; what they
            hold as `Partial`s are its arguments.
        advance: state -> next state, report with a leading axis of cells.
        cells: the columns that tell the rows of one generation apart, such as `{"lam": 1.0, "seed": 0}`.
        every: generations between two checkpoints.
        keep: how many of the newest checkpoints stay; all by default.
        unit: what the progress bar calls a generation.
        sharding: how the state lies on several devices: a `jax.sharding.Sharding` of all its arrays, or a tree of them;
            by default it lies on one device. A run may go on with another: its checkpoints are of whole arrays.

    Several processes (`jax.distributed`) that share their files call this alike, and each gets the history. The first
    writes it, all save what they hold of the state, and a `RunError` or a signal in one stops all.

    Raises:
        ValueError: before anything is written, where there are several processes and no `sharding`, `generations` < 0,
            `every` or `keep` < 1, or `settings` are no JSON; and before anything is kept, where two columns of
            `metrics.csv` have one name.
        RunError: where the folder is not writable, in use, another run's or taken away, no checkpoint in it is intact,
            a metric or a part of the state is not finite, or a signal stops the run. What was there stays as it was.
    """
    if sharding is None and several():
        raise ValueError("several processes share a state: give `sharding`, over a mesh of all their devices")
    guards.whole("generations", generations, 0)
    guards.whole("every", every, 1)
    guards.whole("keep", 1 if keep is None else keep, 1)
    folder = Path(folder).absolute()
    with (
        claimed(folder, settings) as require_ours,
        interrupts.held() as stopped,
        checkpoints.opened(folder / "checkpoints", keep) as manager,
    ):
        path = folder / checkpoints.HISTORY
        kept = checkpoints.restored(manager, path, jax.eval_shape(begin), sharding)
        last, rows, place = kept or (None, [], histories.START)
        if len(rows) > generations:
            tqdm.write(f"{folder} is complete: {generations} {unit}s")
            history = _joined(rows)
            write(folder / "metrics.csv", table(history, cells))
            return history
        options = {"cells": cells, "generations": generations, "unit": unit, "sharding": sharding}
        saved, shown = len(rows), 0
        try:
            for generation, state, row in advanced(begin, advance, state=last, done=saved, **options):
                columns(row, cells)
                rows.append(row)
                signal = stopped()
                final = generation == generations or signal
                if (generation + 1) % every == 0 or final:
                    require_ours()
                    place = together(partial(_appended, path, place, rows[saved:]))
                    checkpoints.save(manager, generation, state, place)
                    saved = len(rows)
                    if final or saved >= BEHIND * shown:
                        write(folder / "metrics.csv", table(_joined(rows), cells))
                        shown = saved
                if signal and generation < generations:
                    raise RunError(
                        f"stopped by {signal.name} after {unit} {generation}: the same command goes on from there"
                    )
        except RunError:
            if saved > shown:
                with contextlib.suppress(RunError):  # the first error is the one to tell
                    require_ours()
                    write(folder / "metrics.csv", table(_joined(rows[:saved]), cells))
            raise
        return _joined(rows)


def _appended(path: Path, place: Place, rows: Sequence[History]) -> Place:
    """Where the history ends; other processes than the first write nothing and need not know."""
    return histories.append(path, place, rows) if first() else place


def _joined(rows: list[History]) -> History:
    """The rows one after the other, in one array a metric."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
