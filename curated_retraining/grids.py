"""Grids of hyper-parameters × seeds: all cells that differ in data alone are one program."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
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


def programs(
    make: Callable[..., Loop], cells: Sequence[Cell], batch: int = 1, mesh: Mesh | None = None
) -> tuple[Partial, Partial]:
    """`begin` and `advance` of all cells, as `drive` takes them; states and reports have a leading axis of cells.

    `batch` cells are vmapped and the others follow one another, so memory is that of a batch. A seed has the same keys
    in all cells.

    Args:
        make: hyper-parameters by name, as traced arrays -> `Loop`.
        cells: the values of each, and `seed`, a cell; see `grid`.
        batch: how many are played side by side.
        mesh: devices that share the cells, without a word to one another; give `drive` their sharding `over(mesh)`.
            One cell after the other, cells have the bits that they have on one device.

    Raises:
        ValueError: where the cells do not split over the devices.
    """
    columns = {name: jnp.asarray([cell[name] for cell in cells]) for name in cells[0]}
    if mesh is not None:
        _require_split(len(cells), mesh)
    how = Static((batch, mesh))
    return Partial(_begin, lift(make), how, columns), Partial(_advance, lift(make), how, columns)


def over(mesh: Mesh) -> NamedSharding:
    """The first axis of an array, that of cells, over all devices of a mesh, whatever its axes."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def mapped(function: Callable[[Any], Any], cells: Any, batch: int = 1, mesh: Mesh | None = None) -> Any:
    """`function` of each of the cells, a tree of `[cells, ...]`: `batch` at a time, on each device of the mesh its own.

    Raises:
        ValueError: when traced, where the cells do not split over the devices.
    """

    def on_one(cells):
        return jax.lax.map(function, cells, batch_size=batch if batch > 1 else None)

    if mesh is None:
        return on_one(cells)
    _require_split(jax.tree.leaves(cells)[0].shape[0], mesh)
    axis = over(mesh).spec
    # What it closes over is whole on each device. Axes that vary are not checked: constants in a user's scan do not.
    return jax.shard_map(on_one, mesh=mesh, in_specs=axis, out_specs=axis, check_vma=False)(cells)


def _require_split(cells: int, mesh: Mesh) -> None:
    if cells % mesh.size:
        fits = max(num for num in range(1, mesh.size) if cells % num == 0)
        raise ValueError(
            f"{cells} cells (hyper-parameters × seeds) do not split over {mesh.size} devices: "
            f"take seeds that make them a multiple of {mesh.size}, or a mesh of {fits}"
        )


def _begin(make: Partial, how: Static, columns: dict[str, Array]) -> State:
    def of(cell):
        loop, start_key, _ = _loop(make, cell)
        return loop.start(start_key)

    return mapped(of, columns, *how.value)


def _advance(make: Partial, how: Static, columns: dict[str, Array], states: State) -> tuple[State, dict[str, Array]]:
    def of(cell_and_state):
        cell, state = cell_and_state
        loop, _, loop_key = _loop(make, cell)
        return loop.step(loop_key, state)

    return mapped(of, (columns, states), *how.value)


def _loop(make, cell):
    start_key, loop_key = jax.random.split(jax.random.key(cell["seed"]))
    return make(**{name: value for name, value in cell.items() if name != "seed"}), start_key, loop_key
