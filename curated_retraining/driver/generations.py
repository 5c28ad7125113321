"""Generations on the host: each is one call of a compiled program, whose numbers are looked at before they are kept."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial
from tqdm import tqdm

from curated_retraining.driver.folders import RunError
from curated_retraining.types import State

History = dict[str, np.ndarray]  # [generations, cells, ...]
Cells = Sequence[Mapping[str, Any]]


def advanced(
    begin: Partial,
    advance: Partial,
    *,
    cells: Cells,
    generations: int,
    state: State | None = None,
    done: int = 0,
    unit: str = "generation",
) -> Iterator[tuple[int, State, History]]:
    """Each generation from `done` to `generations`: its index, the state after it, and its report `[1, cells, ...]`.

    Without a `state` to go on from, `begin` makes that of generation 0. See `drive` for the rest.

    Raises:
        RunError: where a metric is not finite.
    """
    with ThreadPoolExecutor(1) as beside:  # compiles what comes next while generation 0 compiles and runs
        compiling = beside.submit(compiled, advance, jax.eval_shape(begin))
        state = _run_once(begin) if state is None else state
        program = compiling.result()
    for generation in tqdm(range(done, generations + 1), initial=done, total=generations + 1, unit=unit):
        state, report = program(advance, state)
        row = {name: np.asarray(value)[None] for name, value in report.items()}
        _require_finite(row, generation, cells)
        yield generation, state, row


def compiled(function: Partial, *args: Any) -> Callable:
    """The program of `function`, to be called with it and its arguments; says how long that took and what it holds."""
    began = time.perf_counter()
    program = jax.jit(lambda function, *args: function(*args)).lower(function, *args).compile()
    memory = program.memory_analysis()
    held = f"; it works in {memory.temp_size_in_bytes / 2**20:.0f} MiB" if memory else ""
    tqdm.write(f"compiled {function.func.__name__} in {time.perf_counter() - began:.1f} s{held}")
    return program


def _run_once(function: Partial) -> State:
    program = compiled(function)
    began = time.perf_counter()
    result = jax.block_until_ready(program(function))
    tqdm.write(f"ran {function.func.__name__} in {time.perf_counter() - began:.1f} s")
    return result


def _require_finite(row: History, generation: int, cells: Cells) -> None:
    for name, values in row.items():
        finite = np.isfinite(values[0]).reshape(len(cells), -1).all(axis=1)
        if not finite.all():
            cell = ", ".join(f"{column}={value}" for column, value in cells[int(np.argmin(finite))].items())
            raise RunError(f"{name} is not finite in generation {generation} ({cell}): the run stops before it is kept")
