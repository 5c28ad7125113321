"""Histories for other tools: tables of pandas, named arrays of xarray, folders of TensorBoard; each is optional."""

import csv
import importlib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curated_retraining.sweep import Sweep
from curated_retraining.types import Array

if TYPE_CHECKING:
    import pandas
    import xarray

FilePath = str | os.PathLike[str]
AnyHistory = Sweep | Mapping[str, np.ndarray | Array] | FilePath
Axes = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]


def to_pandas(history: AnyHistory, axes: Axes | None = None) -> "pandas.DataFrame":
    """A table with the columns of `metrics.csv`: a row a cell and generation, a column a metric.

    A metric that is a vector has a column an entry, such as `share_0`; one of more axes, such as drawn points, is left
    out.

    Args:
        history: what `run`, `driver.drive` or `sweep` returned, or the folder of a run, of which `metrics.csv` is read.
        axes: of `run` under `vmap`, the values along each axis before the generation's, by name; of `drive`, its
            `cells`; of the others None, for they have no more or know them.

    Raises:
        ValueError: where the shapes of the history and its axes do not agree, or a folder has no whole `metrics.csv`.
        ModuleNotFoundError: where pandas is not installed.
    """
    named = _named(history, axes)
    told = [cell | {"generation": generation} for cell in named.cells for generation in range(named.num)]
    return (
        _optional("pandas", to_pandas)
        .DataFrame(told)
        .assign(**{name: values.ravel() for name, values in _columns(named).items()})
    )


def to_xarray(history: AnyHistory, axes: Axes | None = None) -> "xarray.Dataset":
    """All metrics on named axes, whose values are coordinates; see `to_pandas`.

    The axes are those of the sweep and `generation`, or `generation` and `cell`. The other axes of the metric `share`
    are `share_axis_0` and so on.
    """
    named = _named(history, axes)
    variables = {
        name: ((*named.axes, *(f"{name}_axis_{i}" for i in range(values.ndim - len(named.axes)))), values)
        for name, values in named.history.items()
    }
    return _optional("xarray", to_xarray).Dataset(variables, named.coordinates)


def to_tensorboard(history: AnyHistory, folder: FilePath, axes: Axes | None = None) -> None:
    """Writes a run of TensorBoard for each cell, in `folder`, its step the generation: `tensorboard --logdir=folder`.

    The scalars are the columns of `to_pandas`.

    Raises:
        ValueError: as `to_pandas`, or where the folder holds events already, which would be drawn over one another.
        ModuleNotFoundError: where tensorboardX is not installed.
    """
    writer = _optional("tensorboardX", to_tensorboard).SummaryWriter
    named = _named(history, axes)
    columns = _columns(named)
    if found := next(Path(folder).rglob("events.out.tfevents.*"), None):
        raise ValueError(f"folder={folder} holds the events {found.name}: take an empty folder")
    for index, cell in enumerate(named.cells):
        with writer(str(Path(folder) / ",".join(f"{name}={value}" for name, value in cell.items()))) as run:
            for name, values in columns.items():
                for generation, value in enumerate(values[index]):
                    run.add_scalar(name, value, generation)


class _Named(NamedTuple):
    """A history with all that tells its numbers apart."""

    history: dict[str, np.ndarray]  # `[*axes, ...]`
    axes: tuple[str, ...]  # the last is the generation
    coordinates: dict[str, Any]  # as xarray takes them
    cells: list[dict[str, Any]]  # all combinations of what is before the generation
    num: int  # generations


def _named(history: AnyHistory, axes: Axes | None) -> _Named:
    if isinstance(history, Sweep | str | os.PathLike) and axes is not None:
        raise ValueError("axes are given of a sweep or a folder, which have their own: leave them out")
    if isinstance(history, Sweep):
        history, axes = history.history, {name: history.axes[name] for name in history.axes if name != "generation"}
    elif isinstance(history, str | os.PathLike):
        history, axes = _read(Path(history) / "metrics.csv")
    arrays = {name: np.asarray(values) for name, values in history.items()}
    if axes is None or isinstance(axes, Mapping):
        along = {name: np.asarray(values) for name, values in (axes or {}).items()}
        cells = [dict(zip(along, values, strict=True)) for values in itertools.product(*along.values())]
        sizes, names, coordinates = tuple(map(len, along.values())), tuple(along), dict(along)
    else:
        cells, sizes, names = [dict(cell) for cell in axes], (len(axes),), ("cell",)
        coordinates: dict[str, Any] = {name: ("cell", [cell[name] for cell in cells]) for name in axes[0]}
        arrays = {name: np.moveaxis(values, 0, min(1, values.ndim - 1)) for name, values in arrays.items()}
    num = next((values.shape[len(sizes)] for values in arrays.values() if values.ndim > len(sizes)), 0)
    for name, values in arrays.items():
        if values.shape[: len(sizes) + 1] != (*sizes, num):
            raise ValueError(
                f"the metric {name!r} is {values.shape}, not {sizes} of {names} and {num} generations: as axes give "
                "the values along each axis before the generation's, or the cells of `drive`"
            )
    return _Named(arrays, (*names, "generation"), coordinates | {"generation": np.arange(num)}, cells, num)


def _columns(named: _Named) -> dict[str, np.ndarray]:
    """Scalars and the entries of vectors, `[cells, generations]` each."""
    columns = {}
    for name, values in named.history.items():
        values = values.reshape(-1, *values.shape[len(named.axes) - 1 :])
        if values.ndim == 2:
            columns[name] = values
        elif values.ndim == 3:
            columns |= {f"{name}_{i}": values[..., i] for i in range(values.shape[-1])}
    return columns


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The history and the cells of a `metrics.csv`: a block of generations from 0 on for each cell."""
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        names, first = rows[0], rows[0].index("generation")
        table = [[_number(text) for text in row] for row in rows[1:]]
        starts = [row for row in table if row[first] == 0]
        values = np.array([row[first + 1 :] for row in table], float).reshape(len(starts), -1, len(names) - first - 1)
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(f"{path} is no table of a run ({error}): give the folder of a run that has one") from error
    cells = [dict(zip(names[:first], row, strict=False)) for row in starts]
    return {name: values[..., i].T for i, name in enumerate(names[first + 1 :])}, cells


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _optional(package: str, asking: Any) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{asking.__name__} needs {package}: pip install {package}") from error
