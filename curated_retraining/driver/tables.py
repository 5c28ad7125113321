"""Histories as CSV text."""

import csv
import io

import numpy as np

from curated_retraining.driver.generations import Cells, History


def table(history: History, cells: Cells) -> str:
    """The history as CSV text: the columns of `cells`, `generation`, then numbers and short vectors by metric.

    Numbers are the shortest decimals that give their float back.
    """
    found = columns(history, cells)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*cells[0], "generation", *found])
    for index, cell in enumerate(cells):
        for generation in range(len(next(iter(history.values())))):
            writer.writerow([*cell.values(), generation, *(str(v[generation, index]) for v in found.values())])
    return text.getvalue()


def columns(history: History, cells: Cells) -> dict[str, np.ndarray]:
    """The columns of numbers, `[generations, cells]` each.

    Raises:
        ValueError: where one has the name of another column.
    """
    found: dict[str, np.ndarray] = {}
    for metric, values in history.items():
        if values.ndim == 2:
            named = {metric: values}
        elif values.ndim == 3:
            named = {f"{metric}_{i}": values[..., i] for i in range(values.shape[-1])}
        else:
            continue
        if twice := named.keys() & {*cells[0], "generation", *found}:
            raise ValueError(f"the metric {metric!r} makes a second column {min(twice)!r} of the table: rename it")
        found |= named
    return found
