"""What a phase map leaves: tables of numbers, text that sets measured beside exact, and the figure."""

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from curated_retraining import figures
from curated_retraining.driver import RunError, write
from experiments.phase import axes
from experiments.phase.axes import Grid
from experiments.phase.exact import Found
from experiments.repeated import standard_error

LABELS = {
    "reward": "limit reward: gain in sd of the real data",
    "entropy": "entropy of the modes' shares (nats)",
    "kl": "KL(limit ‖ real data) (nats)",
    "minority": "minority share (smallest of the modes)",
    "collapse": "generations to collapse (entropy < half)",
}
UNSETTLED = "limit not reached"


def to_csv(grid: Grid, found: Mapping[str, np.ndarray]) -> str:
    """A row a cell: its settings, then the numbers by name as the shortest decimals that give them back."""
    columns = {**grid.cells._asdict(), **found}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(str, np.ravel(values)) for values in columns.values()), strict=True))
    return text.getvalue()


def from_csv(text: str, shape: tuple[int, ...]) -> Found:
    """The numbers of what `to_csv` made, `shape` each."""
    rows = list(csv.DictReader(text.splitlines()))
    return {name: np.array([row[name] for row in rows], np.float32).reshape(shape) for name in rows[0]}


def keep(path: Path, text: str) -> None:
    """Writes a table and then, beside it, its digest as `sha256sum --check` reads it."""
    write(path, text)
    write(_digest_of(path), f"{_sha256(text.encode())}  {path.name}\n")


def kept(path: Path) -> str | None:
    """A table that is complete, which its digest says; None where there is none.

    Raises:
        RunError: where it is not what was written.
    """
    if not (path.exists() and _digest_of(path).exists()):
        return None
    content, told = path.read_bytes(), _digest_of(path).read_text(encoding="utf-8", errors="replace")
    if told.split() != [_sha256(content), path.name]:
        raise RunError(f"{path} is damaged: remove it, and the same command makes it again")
    return content.decode()


def over_seeds(runs: list[Found], shape: tuple[int, ...]) -> tuple[Found, Found]:
    """Means over seeds and their standard errors, NaN for one seed, of each cell's `[seeds]`, `shape` each."""
    mean, error = {}, {}
    for name in LABELS:
        values = np.stack([of_cell[name] for of_cell in runs])  # [cells, seeds]
        mean[name] = values.mean(axis=1).reshape(shape)
        error[name] = standard_error(values, axis=1).reshape(shape)
    return mean, error


def compare(pair: str, grid: Grid, mean: Found, error: Found, exact: Found) -> str:
    """A row a cell, measured over exact, and the largest differences with their standard errors."""
    names = pair.split(",")
    settings = [np.ravel(getattr(grid.cells, name)) for name in names]
    columns = [f"{name:>17}" for name in LABELS]
    lines = [f"{pair}: measured | exact", "".join([*(f"{name:>12}" for name in names), *columns])]
    for index in range(grid.cells.k.size):
        numbers = [f"{mean[name].flat[index]:8.3f} |{exact[name].flat[index]:7.3f}" for name in LABELS]
        lines.append("".join([*(f"{values[index]:12g}" for values in settings), *numbers]))
    for name in LABELS:
        away = np.abs(mean[name] - exact[name]).ravel()
        if np.isnan(away).all():
            continue
        worst = int(np.nanargmax(away))
        where = ", ".join(f"{key}={values[worst]:g}" for key, values in zip(names, settings, strict=True))
        spread = error[name].flat[worst]
        how_far = f"{away[worst]:.3f} ({'one seed' if np.isnan(spread) else f'standard error {spread:.3f}'}) at {where}"
        same = f"course_{name}"
        if same in exact:
            how_far += f"; there {abs(mean[name] - exact[same]).flat[worst]:.3f} to the exact mean of those generations"
        lines.append(f"largest |difference| of {name}: {how_far}")
    return "\n".join(lines)


def draw(
    path: Path,
    pair: str,
    grid: Grid,
    found: Found,
    fixed: Mapping[str, float],
    *,
    horizon: int,
    trained: tuple[Grid, Found, str, str] | None = None,
) -> None:
    """Writes the five maps of a pair.

    `trained` are the cells that were, their means, and what the legend calls them and those that are hollow.
    """
    first, second = pair.split(",")
    others = ", ".join(
        f"{axes.SHORT[name]} = {value:g}" for name, value in fixed.items() if name not in (first, second)
    )
    circles, at, called, hollow = {}, None, "", ""
    if trained is not None:
        cells, mean, called, hollow = trained
        circles = {name: mean[name].ravel() for name in LABELS}
        at = (np.ravel(getattr(cells.cells, first)), np.ravel(getattr(cells.cells, second)))
    figures.heat_maps(
        path,
        {name: found[name] for name in LABELS},
        x=grid.x,
        y=grid.y,
        axes=(axes.NAMES[first], axes.NAMES[second]),
        labels=LABELS,
        logarithmic=("minority", "collapse"),
        missing={name: UNSETTLED for name in LABELS} | {"collapse": f"no collapse in {horizon} generations"},
        line=axes.threshold(pair, dict(fixed)),
        line_label="threshold λ = 1/(K − 1)",
        circles=circles,
        at=at,
        circles_label=called,
        hollow_label=hollow,
        title=f"exact population, {others}",
    )


def _digest_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
