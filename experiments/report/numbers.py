"""The tables of numbers: measured against what it is compared with, and runs against each other."""

import math
from collections.abc import Sequence

import numpy as np

from experiments.report import courses, markup
from experiments.report.courses import Cell, Course
from experiments.report.runs import Part, Run

COLUMNS = 25  # generations in a table, evenly spaced, the first and last included
LETTERS = {"lam": "λ", "k": "K", "beta": "β", "n": "n"}


def of_part(part: Part) -> list[str]:
    """The summary of a part and, folded, a table a metric."""
    found = courses.courses(part)
    pieces = []
    if part.compared_with:
        pieces.append(_summary(part, found))
    else:
        pieces.append(markup.paragraph("This program wrote no course to compare with: what follows was measured."))
    for index, (metric, lines) in enumerate(found.items()):
        pieces.append(markup.folded(metric, _by_generation(metric, lines, part.compared_with), opened=index == 0))
    return pieces


def side_by_side(runs: Sequence[Run]) -> str:
    """Each run's last generation, a row a metric and cell: measured, its standard error, what it is compared with."""
    lasts: dict[tuple[str, str, Cell], dict[int, Course]] = {}
    for index, run in enumerate(runs):
        for part in run.parts:
            for metric, lines in courses.courses(part).items():
                for line in lines:
                    lasts.setdefault((part.name, metric, line.cell), {})[index] = line
    uneven = len({max(line.mean) for found in lasts.values() for line in found.values()}) > 1
    ends = {key: {index: _end(line, uneven) for index, line in found.items()} for key, found in lasts.items()}
    compared = {key: cells for key, cells in ends.items() if any("|" in cell for cell in cells.values())}
    rows = [
        [", ".join(filter(None, (name, metric, called(cell)))), *(cells.get(index, "–") for index in range(len(runs)))]
        for (name, metric, cell), cells in (compared or ends).items()
    ]
    return markup.table(
        "The last generation of each run: measured ± standard error | exact or foretold",
        ["metric", *(run.name for run in runs)],
        rows,
    )


def called(cell: Cell) -> str:
    """A cell in words."""
    return ", ".join(f"{LETTERS.get(name, name)} = {value.replace('inf', '∞')}" for name, value in cell if value)


def number(value: float) -> str:
    """Four digits; a dash where there is no number."""
    return f"{value:.4g}".replace("-", "−") if math.isfinite(value) else "–"


def _summary(part: Part, found: dict[str, list[Course]]) -> str:
    rows = []
    for metric, lines in found.items():
        if (place := courses.worst(lines)) is None:
            continue
        line, t = place
        where = ", ".join(filter(None, (called(line.cell), f"t = {t}")))
        numbers = (abs(line.away()[t]), line.error.get(t, math.nan), line.mean[t], line.twin[t])
        rows.append([metric, number(numbers[0]), number(numbers[1]), where, number(numbers[2]), number(numbers[3])])
    head = ["metric", "largest |difference|", "standard error", "where", "measured", part.compared_with]
    return markup.table(f"Measured, mean over seeds, against {part.compared_with}", head, rows)


def _by_generation(metric: str, lines: list[Course], compared_with: str) -> str:
    times = sorted({t for line in lines for t in line.mean})
    shown = [times[i] for i in np.unique(np.linspace(0, len(times) - 1, min(COLUMNS, len(times))).round().astype(int))]
    rows = []
    for line in lines:
        kinds = {f"measured, mean of {line.seeds} seeds" if line.seeds > 1 else "measured, one seed": line.mean}
        kinds |= {"± standard error": line.error} if line.error else {}
        kinds |= {compared_with: line.twin, "difference": line.away()} if line.twin else {}
        for kind, values in kinds.items():
            name = ": ".join(filter(None, (called(line.cell), kind)))
            rows.append([name, *(number(values.get(t, math.nan)) for t in shown)])
    some = f", {len(shown)} of {len(times)} generations" if len(shown) < len(times) else ""
    return markup.table(f"{metric} by generation{some}", ["", *(f"t = {t}" for t in shown)], rows)


def _end(line: Course, with_time: bool) -> str:
    t = max(line.mean)
    time = f" (t = {t})" if with_time else ""
    error = f" ± {number(line.error[t])}" if line.error else ""
    twin = f" | {number(line.twin[t])}" if math.isfinite(line.twin.get(t, math.nan)) else ""
    return f"{number(line.mean[t])}{error}{twin}{time}"
