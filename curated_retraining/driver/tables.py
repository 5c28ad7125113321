"""Histories as CSV text."""

import csv
import io

from curated_retraining.driver.generations import Cells, History


def table(history: History, cells: Cells) -> str:
    """The history as CSV text: the columns of `cells`, `generation`, then numbers and short vectors by metric.

    Numbers are the shortest decimals that give their float back.
    """
    columns = {}
    for name, values in history.items():
        if values.ndim == 2:
            columns[name] = values
        elif values.ndim == 3:
            columns |= {f"{name}_{i}": values[..., i] for i in range(values.shape[-1])}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*cells[0], "generation", *columns])
    for index, cell in enumerate(cells):
        for generation in range(len(next(iter(history.values())))):
            writer.writerow([*cell.values(), generation, *(str(v[generation, index]) for v in columns.values())])
    return text.getvalue()
