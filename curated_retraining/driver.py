"""The host's side of a run: one compiled generation, a checkpoint after each, resume to the bit, no number lost.

A folder belongs to one set of settings and to one process at a time. It receives `config.json`, `metrics.csv` and
`checkpoints/`; each file appears whole or not at all.
"""

import contextlib
import csv
import fcntl
import hashlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.tree_util import Partial
from tqdm import tqdm

from curated_retraining.types import State

History = dict[str, np.ndarray]  # [generations, cells, ...]
Cells = Sequence[Mapping[str, Any]]


class RunError(Exception):
    """A run that cannot start or go on: one line with the cause and the remedy."""


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
) -> History:
    """Runs `generations` retrainings of all cells and returns their history, `[generations + 1, cells, ...]` a metric.

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

    Raises:
        RunError: where the folder is not writable, in use or another run's, a checkpoint is damaged, or a metric is
            not finite. What was there stays as it was.
    """
    folder = Path(folder).absolute()
    with claimed(folder, settings), _checkpoints(folder / "checkpoints", keep) as manager:
        restored = _restored(manager, jax.eval_shape(begin))
        state, history = restored or (None, {})
        done = len(next(iter(history.values()), ()))
        if done > generations:
            tqdm.write(f"{folder} is complete: {generations} {unit}s")
        else:
            with ThreadPoolExecutor(1) as beside:  # compiles what comes next while generation 0 compiles and runs
                compiling = beside.submit(_compile, advance, jax.eval_shape(begin))
                state = _run_once(begin) if state is None else state
                program = compiling.result()
            rows = [history] if history else []
            for generation in tqdm(range(done, generations + 1), initial=done, total=generations + 1, unit=unit):
                state, report = program(advance, state)
                rows.append({name: np.asarray(value)[None] for name, value in report.items()})
                _require_finite(rows[-1], generation, cells)
                if (generation + 1) % every == 0 or generation == generations:
                    history = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
                    rows = [history]
                    _save(manager, generation, state, history)
                    write(folder / "metrics.csv", table(history, cells))
        write(folder / "metrics.csv", table(history, cells))
        return history


def newest(folder: str | os.PathLike, begin: Partial) -> State:
    """The state in the newest checkpoint of a run in `folder` that began with `begin`.

    Raises:
        RunError: where there is none, or it is damaged.
    """
    with _checkpoints(Path(folder).absolute() / "checkpoints") as manager:
        restored = _restored(manager, jax.eval_shape(begin))
    if restored is None:
        raise RunError(f"{folder} holds no checkpoint: run it first")
    return restored[0]


def table(history: History, cells: Cells) -> str:
    """The history as CSV text: the columns of `cells`, `generation`, then numbers and short vectors by metric.

    Numbers are the shortest decimals that give their float back.
    """
    columns = {}
    for name, values in history.items():
        if values.ndim == 2:
            columns[name] = values
        elif values.ndim == 3:
            columns |= {f"{name}_{i}": values[..., i] for i in range(values.shape[-1])}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*cells[0], "generation", *columns])
    for index, cell in enumerate(cells):
        for generation in range(len(next(iter(history.values())))):
            writer.writerow([*cell.values(), generation, *(str(v[generation, index]) for v in columns.values())])
    return text.getvalue()


@contextlib.contextmanager
def claimed(folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Holds the folder for this process and these settings, which `config.json` in it names.

    Raises:
        RunError: where the folder is not writable, in use or another run's.
    """
    with _lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"{folder} is in use by another process: wait for it or choose another folder") from error
        path = folder / "config.json"
        given = json.loads(json.dumps(dict(settings)))
        if path.exists():
            _require_same(path, given)
        else:
            config = {"flags": given, "versions": _versions(), "device": jax.devices()[0].device_kind}
            write(path, json.dumps(config, indent=2) + "\n")
        yield


def write(path: Path, text: str) -> None:
    """Writes the whole file or none of it, also where the process is killed.

    Raises:
        RunError: where there is no room or no permission.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text)
        os.replace(partial, path)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): make room or choose another folder") from error


def _lock_file(folder: Path) -> io.TextIOBase:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / ".lock", "a")
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}): choose another folder") from error


def _require_same(path: Path, given: dict) -> None:
    try:
        flags = json.loads(path.read_text())["flags"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not a run's config: choose another folder") from error
    for name in sorted(flags.keys() | given.keys()):
        if flags.get(name) != given.get(name):
            was, now = (json.dumps(values.get(name)) for values in (flags, given))
            raise RunError(
                f"{path.parent} holds a run with {name}={was}, not {now}: choose another folder or give that back"
            )


def _versions() -> dict[str, str]:
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


@contextlib.contextmanager
def _checkpoints(folder: Path, keep: int | None = None) -> Iterator[ocp.CheckpointManager]:
    logger = logging.getLogger("absl")  # Orbax tells of every save
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        with ocp.CheckpointManager(folder, options=options) as manager:
            yield manager
    finally:
        logger.setLevel(level)


def _save(manager: ocp.CheckpointManager, generation: int, state: State, history: History) -> None:
    items = ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        history=ocp.args.StandardSave(history),
        digest=ocp.args.JsonSave({"sha256": _digest(state, history)}),
    )
    manager.save(generation, args=items)


def _restored(manager: ocp.CheckpointManager, like: State) -> tuple[State, History] | None:
    """The newest state and its history; None where there is no checkpoint yet."""
    generation = manager.latest_step()
    if generation is None:
        return None
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), like)
    items = ocp.args.Composite(
        state=ocp.args.StandardRestore(like),
        history=ocp.args.StandardRestore(),
        digest=ocp.args.JsonRestore(),
    )
    try:
        found = manager.restore(generation, args=items)
        history = jax.tree.map(np.asarray, found["history"])
        intact = found["digest"] == {"sha256": _digest(found["state"], history)}
    except Exception as error:  # Orbax and its storage raise many kinds for a damaged folder
        _refuse(manager, generation, error)
    if not intact:
        _refuse(manager, generation, None)
    return found["state"], history


def _refuse(manager: ocp.CheckpointManager, generation: int, error: Exception | None) -> None:
    path = Path(manager.directory) / str(generation)
    raise RunError(f"the checkpoint {path} is damaged: remove that folder to go on from the one before") from error


def _digest(state: State, history: History) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path((jax.tree.leaves(state), history)):
        leaf = np.asarray(leaf)
        digest.update(f"{path}{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _require_finite(row: History, generation: int, cells: Cells) -> None:
    for name, values in row.items():
        finite = np.isfinite(values[0]).reshape(len(cells), -1).all(axis=1)
        if not finite.all():
            cell = ", ".join(f"{column}={value}" for column, value in cells[int(np.argmin(finite))].items())
            raise RunError(f"{name} is not finite in generation {generation} ({cell}): the run stops before it is kept")


def _compile(function: Partial, *args: Any) -> Callable:
    began = time.perf_counter()
    program = jax.jit(lambda function, *args: function(*args)).lower(function, *args).compile()
    tqdm.write(f"compiled {function.func.__name__} in {time.perf_counter() - began:.1f} s")
    return program


def _run_once(function: Partial) -> State:
    program = _compile(function)
    began = time.perf_counter()
    result = jax.block_until_ready(program(function))
    tqdm.write(f"ran {function.func.__name__} in {time.perf_counter() - began:.1f} s")
    return result
