"""Courses by cell and metric from the rows of `metrics.csv` and its twin: what tables of a report say."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.report.runs import Part, Rows

Cell = tuple[tuple[str, str], ...]  # columns and their values, the seed left out


class Course(NamedTuple):
    """One metric in one cell: numbers by generation."""

    cell: Cell
    mean: dict[int, float]  # over seeds
    error: dict[int, float]  # its standard error; empty for one seed
    seeds: int
    twin: dict[int, float]  # empty where there is none

    def away(self) -> dict[int, float]:
        """Measured less its twin, where that is a number."""
        return {t: self.mean[t] - value for t, value in self.twin.items() if t in self.mean and np.isfinite(value)}


def courses(part: Part) -> dict[str, list[Course]]:
    """The courses of a part by metric, those with a twin first, each in the order of the rows."""
    columns = list(part.measured[0])
    metrics = columns[columns.index("generation") + 1 :]
    with_twin = [metric for metric in metrics if part.twin and metric in part.twin[0]]
    measured, twin = _by_cell(part.measured), _by_cell(part.twin)
    return {
        metric: [_course(cell, metric, measured[cell], twin.get(cell, {})) for cell in measured]
        for metric in sorted(metrics, key=lambda metric: metric not in with_twin)
    }


def worst(found: list[Course]) -> tuple[Course, int] | None:
    """Where measured and twin are farthest apart, and in which generation."""
    places = [(abs(away), index, t) for index, course in enumerate(found) for t, away in course.away().items()]
    if not places:
        return None
    _, index, t = max(places)
    return found[index], t


def _by_cell(rows: Rows) -> dict[Cell, dict[int, list[Mapping[str, str]]]]:
    found: dict[Cell, dict[int, list[Mapping[str, str]]]] = {}
    for row in rows:
        names = list(row)
        cell = tuple((name, row[name]) for name in names[: names.index("generation")] if name != "seed")
        found.setdefault(cell, {}).setdefault(int(row["generation"]), []).append(row)
    return found


def _course(cell: Cell, metric: str, measured: Mapping[int, list], twin: Mapping[int, list]) -> Course:
    runs = {t: np.array([float(row[metric]) for row in rows]) for t, rows in measured.items()}
    seeds = min(len(values) for values in runs.values())
    return Course(
        cell,
        mean={t: float(values.mean()) for t, values in runs.items()},
        error={t: float(values.std(ddof=1) / len(values) ** 0.5) for t, values in runs.items()} if seeds > 1 else {},
        seeds=seeds,
        twin={t: float(np.mean([float(row[metric]) for row in rows])) for t, rows in twin.items() if metric in rows[0]},
    )
