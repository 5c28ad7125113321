"""Grids of hyper-parameters × seeds: all cells that differ in data alone are one program."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.types import Array, LoopState, PRNGKey, State, Static, Step, lift

Cell = Mapping[str, Any]  # a number or an array by hyper-parameter, and the `seed`


class Loop(NamedTuple):
    """A loop that can be played: how it starts and what a generation does."""

    start: Callable[[PRNGKey], LoopState]
    step: Step


def grid(axes: Mapping[str, Sequence[Any]], seeds: Iterable[int]) -> list[Cell]:
    """Every combination of the values of the axes, in their order, with every seed: the last changes fastest."""
    values = itertools.product(*axes.values(), [int(seed) for seed in seeds])
    return [dict(zip([*axes, "seed"], combination, strict=True)) for combination in values]


def programs(make: Callable[..., Loop], cells: Sequence[Cell], batch: int = 1) -> tuple[Partial, Partial]:
    """`begin` and `advance` of all cells, as `drive` takes them; states and reports have a leading axis of cells.

    `batch` cells are vmapped and the others follow one another, so memory is that of a batch. A seed has the same keys
    in all cells.

    Args:
        make: hyper-parameters by name, as traced arrays -> `Loop`.
        cells: the values of each, and `seed`, a cell; see `grid`.
        batch: how many are played side by side.
    """
    columns = {name: jnp.asarray([cell[name] for cell in cells]) for name in cells[0]}
    size = Static(batch)
    return Partial(_begin, lift(make), size, columns), Partial(_advance, lift(make), size, columns)


def _begin(make: Partial, batch: Static, columns: dict[str, Array]) -> State:
    def of(cell):
        loop, start_key, _ = _loop(make, cell)
        return loop.start(start_key)

    return _mapped(of, columns, batch)


def _advance(make: Partial, batch: Static, columns: dict[str, Array], states: State) -> tuple[State, dict[str, Array]]:
    def of(cell_and_state):
        cell, state = cell_and_state
        loop, _, loop_key = _loop(make, cell)
        return loop.step(loop_key, state)

    return _mapped(of, (columns, states), batch)


def _mapped(function, cells, batch: Static):
    return jax.lax.map(function, cells, batch_size=batch.value if batch.value > 1 else None)


def _loop(make, cell):
    start_key, loop_key = jax.random.split(jax.random.key(cell["seed"]))
    return make(**{name: value for name, value in cell.items() if name != "seed"}), start_key, loop_key
