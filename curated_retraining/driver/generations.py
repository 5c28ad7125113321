"""Generations on the host: each is one call of a compiled program, whose numbers are looked at before they are kept."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from tqdm import tqdm

from curated_retraining.driver.processes import RunError, first, largest, whole
from curated_retraining.types import Array, State

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
    sharding: Any = None,
) -> Iterator[tuple[int, State, History]]:
    """Each generation from `done` to `generations`: its index, the state after it, and its report `[1, cells, ...]`.

    Without a `state` to go on from, `begin` makes that of generation 0. See `drive` for the rest.

    Raises:
        RunError: where a metric is not finite, or what the state holds beside its memory, whose unfilled slots may be
            anything: those that count are seen in the next fit.
    """
    with ThreadPoolExecutor(1) as beside:  # compiles what comes next while generation 0 compiles and runs
        like = placed(jax.eval_shape(begin), sharding)
        compiling = beside.submit(compiled, advance, like, out=sharding and (sharding, None))
        if state is None:
            state = _run_once(begin, sharding)
            _require_finite_state(state, "before generation 0", cells)
        program = compiling.result()
    options = {"initial": done, "total": generations + 1, "unit": unit, "disable": not first() or sys.stderr is None}
    for generation in tqdm(range(done, generations + 1), **options):
        state, report = program(advance, state)
        # copies: a view holds the device's buffer
        row = {name: np.array(whole(value))[None] for name, value in report.items()}
        _require_finite({name: values[0] for name, values in row.items()}, f"in generation {generation}", cells)
        _require_finite_state(state, f"after generation {generation}", cells)
        yield generation, state, row


def placed(like: State, sharding: Any) -> State:
    """Shapes of arrays that lie on devices as `sharding` says, one for all of them or a tree of them."""
    if sharding is None:
        return like
    return jax.tree.map(
        lambda leaf, each: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=each),
        like,
        jax.tree.broadcast(sharding, like),
    )


def spelled(cell: Mapping[str, Any]) -> str:
    """A cell in words, such as `lam=inf, seed=0`."""
    return ", ".join(f"{column}={value}" for column, value in cell.items())


def compiled(function: Partial, *args: Any, out: Any = None) -> Callable:
    """The program of `function`, to be called with it and its arguments; says how long that took and what it holds.

    `out` is the sharding of its results, where that is not left to the program.
    """
    began = time.perf_counter()
    program = jax.jit(lambda function, *args: function(*args), out_shardings=out).lower(function, *args).compile()
    memory = program.memory_analysis()
    held = f"; it works in {memory.temp_size_in_bytes / 2**20:.0f} MiB" if memory else ""
    tqdm.write(f"compiled {function.func.__name__} in {time.perf_counter() - began:.1f} s{held}")
    return program


def _run_once(function: Partial, sharding: Any) -> State:
    program = compiled(function, out=sharding)
    began = time.perf_counter()
    result = jax.block_until_ready(program(function))
    tqdm.write(f"ran {function.func.__name__} in {time.perf_counter() - began:.1f} s")
    return result


def _require_finite(row: Mapping[str, np.ndarray], when: str, cells: Cells) -> None:
    """Looks at arrays `[cells, ...]` by name, and names all that are not finite in the first cell that has one."""
    finite = np.array([np.isfinite(values).reshape(len(cells), -1).all(axis=1) for values in row.values()])
    good = finite.all(axis=0)
    if not good.all():
        first = int(np.argmin(good))
        names = [name for name, fine in zip(row, finite[:, first], strict=True) if not fine]
        told, cell = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}", spelled(cells[first])
        raise RunError(f"{told} not finite {when}{cell and f' ({cell})'}: the run stops before it is kept")


def _require_finite_state(state: State, when: str, cells: Cells) -> None:
    """The same of the parts of a state, by a program of its own: that of a generation keeps its bits."""
    leaves = [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state) if _is_looked_at(path, leaf)]
    for (path, leaf), spoilt in zip(leaves, largest(_spoilt([leaf for _, leaf in leaves])), strict=True):
        if spoilt:
            values, told = whole(leaf), cells
            if values.shape[:1] != (len(cells),):
                values, told = values[None], [{}]  # of no cell of its own
            _require_finite({"the state's " + jax.tree_util.keystr(path).lstrip("."): values}, when, told)


def _is_looked_at(path: tuple[Any, ...], leaf: Any) -> bool:
    remembered = any(getattr(key, "name", None) == "memory" for key in path)
    return jnp.issubdtype(leaf.dtype, jnp.inexact) and not remembered


def _spoilt(leaves: list[Array]) -> np.ndarray:
    """Which of the arrays have numbers that are not finite, on this process's devices: each looks at what it holds."""
    if not leaves:
        return np.zeros(0, bool)
    shards = zip(*([shard.data for shard in leaf.addressable_shards] for leaf in leaves), strict=True)
    return ~np.all([np.asarray(_all_finite(list(held))) for held in shards], axis=0)


@jax.jit
def _all_finite(leaves: list[Array]) -> Array:
    return jnp.array([jnp.isfinite(leaf).all() for leaf in leaves])
