"""Sweeps: loops at every combination of hyper-parameters and seeds, from one call to arrays with named axes."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.tree_util import Partial
from tqdm import tqdm

from curated_retraining import driver, grids
from curated_retraining.driver.generations import History, compiled
from curated_retraining.grids import Cell, Loop
from curated_retraining.types import Array, Static, lift

AT_A_TIME = (1, 8, 64)  # cells that a measurement plays side by side
UNFIT = str.maketrans("/*?", "___", "[]")  # in the names of folders of checkpoints


class Sweep(NamedTuple):
    """What a sweep found."""

    axes: dict[str, list[Any]]  # the values along each leading axis of a metric: hyper-parameters, seed, generation
    history: History  # by metric, `[*hyper-parameters, seeds, generations + 1, ...]`
    batch: int  # cells that were played side by side


def sweep(
    make: Callable[..., Loop],
    axes: Mapping[str, Sequence[Any]],
    seeds: Iterable[int],
    *,
    generations: int,
    static: Sequence[str] = (),
    batch: int | None = None,
    folder: str | os.PathLike | None = None,
    settings: Mapping[str, Any] | None = None,
    every: int = 1,
    keep: int | None = None,
    mesh: Mesh | None = None,
) -> Sweep:
    """Plays the loops of `make` at every combination of the values of `axes` with every seed.

    Axes named in `static` (K, a pool size) are part of a program, which is compiled once for each combination of their
    values; all others are data of one program. What a program works in is said before it runs.

    Args:
        make: hyper-parameters by name -> `Loop`; those not in `static` are traced numbers. It is called with each value
            of each axis beforehand, since what is traced has no value to refuse.
        axes: the values of each hyper-parameter.
        seeds: whole numbers; a seed has the same keys at all hyper-parameters.
        generations: retrainings after generation 0.
        static: names of axes that are no data.
        batch: cells that are vmapped, the rest follow one another; None takes what a generation of the first
            combination shows to be fastest here, of 1, 8 and 64. Numbers differ by rounding from one batch to another.
        folder: keeps a checkpoint every `every` generations, the newest `keep` or all of them, a run's folder for each
            combination of static values, and all numbers in one `metrics.csv`; the same call again goes on where it
            was, with the batch it began with.
        settings: what else the results depend on; a folder with others is refused.
        mesh: devices that share the cells of a program; a folder may go on with another mesh or none. With batch 1 the
            numbers are those of one device to the bit. Over several processes `batch` must be given.

    Raises:
        ValueError: where an axis has no values or has a reserved name, a static one is not among them, two of its
            values would share a folder, batch < 1 or None in several processes, a seed is too large for JAX's integers,
            the cells of a program do not split over the devices, or what `make` builds refuses a value.
        RunError: see `driver.drive`; or the folder holds a sweep with other static axes.
    """
    if "seed" in axes:
        raise ValueError("an axis cannot be called 'seed': give its values as seeds=")
    axes = {name: list(values) for name, values in axes.items()} | {"seed": [int(seed) for seed in seeds]}
    _check(axes, static, batch)
    kept = None if folder is None else driver.absolute(folder)
    data = {name: values for name, values in axes.items() if name not in static and name != "seed"}
    cells = grids.grid(data, axes["seed"])
    fixed = grids.grid({name: axes[name] for name in static}, [0])
    rows = [[{name: {**one, **other}[name] for name in axes} for other in cells] for one in fixed]
    owns = [",".join(f"{name}={cell[name]}" for name in static).translate(UNFIT) for cell in fixed]
    if kept is not None and len(set(owns)) < len(owns):
        raise ValueError(f"static values would share a folder, of {owns}: give some that are written differently")
    builders = [_fixed(make, {name: cell[name] for name in static}) for cell in fixed]
    _refuse_values(builders[0], data)
    batch = batch or (kept and _recorded(kept)) or fastest(builders[0], cells)
    sharding = None if mesh is None else grids.over(mesh)

    histories = []
    told = {"axes": data, "seeds": axes["seed"], "batch": batch} | dict(settings or {})
    whole = driver.claimed(kept, told | {"static": list(static)}) if kept and static else contextlib.nullcontext()
    with whole:
        for builder, own, its in zip(builders, owns, rows, strict=True):
            begin, advance = grids.programs(builder, cells, batch, mesh)
            options = {"cells": its, "generations": generations, "sharding": sharding}
            if kept is None:
                played = [row for _, _, row in driver.advanced(begin, advance, **options)]
                histories.append({name: np.concatenate([row[name] for row in played]) for name in played[0]})
            else:
                options |= {"every": every, "keep": keep}
                histories.append(driver.drive(kept / own, told, begin, advance, **options))
        if kept is not None and static:
            joined = {name: np.concatenate([history[name] for history in histories], axis=1) for name in histories[0]}
            driver.write(kept / "metrics.csv", driver.table(joined, [row for its in rows for row in its]))
    order = [*static, *data, "seed"]
    history = {name: _in_order([each[name] for each in histories], order, axes, name) for name in histories[0]}
    return Sweep(axes | {"generation": list(range(generations + 1))}, history, batch)


def _check(axes: Mapping[str, Sequence[Any]], static: Sequence[str], batch: int | None) -> None:
    for name, values in axes.items():
        if not values:
            raise ValueError(f"the axis {name!r} has no values: give it one or more")
    if "generation" in axes:
        raise ValueError("an axis cannot be called 'generation', which every history has: choose another name")
    if unknown := sorted(set(static) - (set(axes) - {"seed"})):
        raise ValueError(f"static={unknown} are no axes: take some of {sorted(set(axes) - {'seed'})}")
    whole = jnp.iinfo(jnp.zeros((), int).dtype)
    if unfit := [seed for seed in axes["seed"] if not whole.min <= seed <= whole.max]:
        raise ValueError(f"seeds={unfit} are no {whole.bits}-bit integers: take some of {whole.min} to {whole.max}")
    if batch is not None and batch < 1:
        raise ValueError(f"batch={batch} is no number of cells: take 1 or more, or None to have it measured")
    if batch is None and jax.process_count() > 1:
        raise ValueError("batch=None would be measured by each process for itself: give the same number to all")


def _fixed(make: Callable[..., Loop], values: Mapping[str, Any]) -> Partial:
    return Partial(_made, lift(make), Static(tuple(values.items())))


def _made(make, values: Static, **data: Array) -> Loop:
    return make(**dict(values.value), **data)


def _refuse_values(make: Partial, data: Mapping[str, Sequence[Any]]) -> None:
    """Builds a loop with each value of each axis, the others at their first; it is not played."""
    columns = {name: jnp.asarray(values) for name, values in data.items()}  # of the types that a program has
    first = {name: column[0] for name, column in columns.items()}
    for name, column in columns.items():
        for value in column:
            make(**first | {name: value})


def _recorded(folder: Path) -> int | None:
    """The batch that a sweep in `folder` began with."""
    config = driver.recorded(folder)
    if config is None:
        return None
    batch = config["flags"].get("batch")
    if not isinstance(batch, int) or batch < 1:
        raise driver.RunError(f"{folder} holds a run that is no sweep: choose another folder")
    return batch


def fastest(make: Partial, cells: Sequence[Cell]) -> int:
    """How many cells side by side take least time a cell, by the best of three calls."""
    best, least = 1, math.inf
    for batch in AT_A_TIME if len(cells) > 1 else ():
        if batch > len(cells):
            break
        begin, advance = grids.programs(make, cells[:batch], batch)
        state = jax.jit(lambda begin: begin())(begin)
        program = compiled(advance, state)
        took = math.inf
        for _ in range(3):
            began = time.perf_counter()
            jax.block_until_ready(program(advance, state))
            took = min(took, (time.perf_counter() - began) / batch)
        tqdm.write(f"{batch} side by side: {took:.3g} s a cell and generation")
        if took > least:
            break
        best, least = batch, took
    return best


def _in_order(parts: list[np.ndarray], order: list[str], axes: Mapping[str, Sequence[Any]], name: str) -> np.ndarray:
    """`[generations + 1, cells, ...]` by static values as one array with its axes in the order of `axes`."""
    if len({part.shape for part in parts}) > 1:
        raise ValueError(f"the metric {name!r} has another shape at other static values: leave it out of `metrics`")
    values = np.moveaxis(np.stack(parts), 1, 2)
    values = values.reshape(*(len(axes[each]) for each in order), *values.shape[2:])
    return np.moveaxis(values, range(len(order)), [list(axes).index(each) for each in order])
