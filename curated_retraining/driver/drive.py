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
from curated_retraining.driver import checkpoints, disks, histories, interrupts
from curated_retraining.driver.folders import absolute, claimed, write
from curated_retraining.driver.generations import Cells, History, advanced
from curated_retraining.driver.histories import Place
from curated_retraining.driver.processes import RunError, by_first, first, several, together
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
        settings: all that the results depend on, as JSON values. A folder with others, or other cells, is refused,
            unless its run has kept no generation and left no other files.
        begin: () -> the state of generation 0 of all cells. `begin` and `advance` are one XLA program each; what they
            hold as `Partial`s are its arguments.
        advance: state -> next state, report with a leading axis of cells.
        cells: the columns that tell the rows of one generation apart, such as `{"lam": 1.0, "seed": 0}`.
        every: generations between two checkpoints.
        keep: how many of the newest checkpoints stay; all by default.
        unit: what the progress bar calls a generation.
        sharding: how the state lies on several devices: a `jax.sharding.Sharding` of all its arrays, or a tree of them;
            by default it lies on one device. A run may go on with another: its checkpoints are of whole arrays.

    A run that has more generations keeps them, and those asked for are returned.

    Several processes (`jax.distributed`) that share their files call this alike, and each gets the history. The first
    writes it, all save what they hold of the state, and a `RunError` or a signal in one stops all.

    Raises:
        ValueError: before anything is written, where there are several processes and no `sharding`, `generations` < 0,
            `every` or `keep` < 1, or `settings` are no JSON; and before anything is kept, where two columns of
            `metrics.csv` have one name.
        RunError: where the folder is not writable, in use, another run's or taken away, no checkpoint in it is intact,
            a metric or a part of the state is not finite or unlike what it was, or a signal stops the run. What was
            there stays as it was, and the generations before an error of the numbers are kept.
    """
    if sharding is None and several():
        raise ValueError("several processes share a state: give `sharding`, over a mesh of all their devices")
    guards.whole("generations", generations, 0)
    guards.whole("every", every, 1)
    guards.whole("keep", 1 if keep is None else keep, 1)
    folder = absolute(folder)
    with (
        claimed(folder, settings, cells=cells, begun=partial(_begun, folder)) as require_ours,
        interrupts.held() as stopped,
        checkpoints.opened(folder / "checkpoints", keep) as manager,
    ):
        path = folder / checkpoints.HISTORY
        kept = checkpoints.restored(manager, path, jax.eval_shape(begin), sharding)
        if kept is None:
            by_first(partial(_put_aside, path, every))
        elif keep is not None:
            checkpoints.prune(manager, keep)
        state, rows, place = kept or (None, [], histories.START)
        if len(rows) > generations:
            tqdm.write(f"{folder} is complete: {generations} {unit}s")
            write(folder / "metrics.csv", table(_joined(rows), cells))
            return _joined(rows[: generations + 1])
        options = {"cells": cells, "generations": generations, "unit": unit, "sharding": sharding}
        saved = tried = len(rows)
        shown = 0

        def save() -> None:
            nonlocal place, saved, tried
            tried = len(rows)
            require_ours()
            place = together(partial(_appended, path, place, rows[saved:]))
            checkpoints.save(manager, len(rows) - 1, state, place)
            saved = tried

        try:
            for generation, after, row in advanced(begin, advance, state=state, done=saved, **options):
                columns(row, cells)
                _require_alike(folder, [*rows[:1], row])
                rows.append(row)
                state = after
                signal = stopped()
                final = generation == generations or signal
                if (generation + 1) % every == 0 or final:
                    save()
                    if final or saved >= BEHIND * shown:
                        write(folder / "metrics.csv", table(_joined(rows), cells))
                        shown = saved
                if signal and generation < generations:
                    raise RunError(
                        f"stopped by {signal.name} after {unit} {generation}: the same command goes on from there"
                    )
        except RunError:
            with contextlib.suppress(RunError):  # the first error is the one to tell
                if tried < len(rows):  # the generation that is refused was the last
                    save()
                if saved > shown:
                    require_ours()
                    write(folder / "metrics.csv", table(_joined(rows[:saved]), cells))
            raise
        return _joined(rows)


def _appended(path: Path, place: Place, rows: Sequence[History]) -> Place:
    """Where the history ends; other processes than the first write nothing and need not know."""
    return histories.append(path, place, rows) if first() else place


def _begun(folder: Path) -> bool:
    """Whether something in the folder hangs on its settings."""
    names, steps = (disks.listed(each) for each in (folder, folder / "checkpoints"))
    others = {name for name in names if not name.startswith(".")} - {"config.json", "checkpoints", checkpoints.HISTORY}
    return bool(others or any(map(str.isdigit, steps)) or any(histories.read(folder / checkpoints.HISTORY)))


def _put_aside(path: Path, every: int) -> None:
    """Keeps the history of checkpoints that are gone; one that was never saved is at most `every` generations."""
    records = len(list(histories.read(path)))
    if records > every or (records and path.with_name("metrics.csv").exists()):
        place = disks.aside(path, path.with_name(checkpoints.ASIDE))
        tqdm.write(f"{path.parent} holds no checkpoint: the run begins again, and its history so far is now {place}")


def _require_alike(folder: Path, rows: Sequence[History]) -> None:
    """The last of the rows has the metrics of the first, and each its kind and shape."""
    was, now = ({name: f"{v.dtype} {list(v.shape[1:])}" for name, v in row.items()} for row in (rows[0], rows[-1]))
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            raise RunError(
                f"{folder} holds a run whose metric {name} is {was.get(name, 'missing')}, not "
                f"{now.get(name, 'missing')}: choose another folder or give that back"
            )


def _joined(rows: list[History]) -> History:
    """The rows one after the other, in one array a metric."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
