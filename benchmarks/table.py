"""Rows of the table, and how times in them are taken: by turns in one process, compilation apart."""

import csv
import importlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np


class Row(NamedTuple):
    """One piece of work."""

    work: str
    ours: float  # seconds
    compile: float | None = None  # seconds, once a process
    peer: str = ""
    theirs: float | None = None  # seconds
    wanted: float | None = None  # how many times faster ours is to be
    quality: str = ""  # of ours and theirs, by one measure
    note: str = ""  # what limits it

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is."""
        return self.theirs and self.theirs / self.ours


COLUMNS = ("work", "ours, s", "compile, s", "peer", "theirs, s", "times faster", "wanted", "quality", "note")


def markdown(rows: Iterable[Row]) -> str:
    """The table as text, a line a row."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_csv(path: str, rows: Iterable[Row]) -> None:
    """The same numbers in a file."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Row._fields, "ratio"])
        writer.writerows([*row, row.ratio] for row in rows)


def turns(sides: Sequence[Callable[[int], Any]], repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each side's first call, which compiles, and medians of `repeats` more, the sides taking turns."""
    rounds = np.array([[seconds(partial(side, seed))[1] for side in sides] for seed in range(repeats + 1)])
    return rounds[0], np.median(rounds[1:], axis=0)


def seconds(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns when its work is done, and how long it took."""
    began = time.perf_counter()
    result = jax.block_until_ready(call())
    return result, time.perf_counter() - began


def peer(name: str) -> Any:
    """A package that ours is timed against."""
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit(f"{name} is missing, which this benchmark is timed against: pip install -e '.[bench]'")


def _cells(row: Row) -> list[str]:
    return [
        row.work,
        _number(row.ours),
        "" if row.compile is None else f"{row.compile:.1f}",
        row.peer,
        _number(row.theirs),
        "" if row.ratio is None else f"{row.ratio:.2g}" if row.ratio < 10 else f"{row.ratio:.0f}",
        "" if row.wanted is None else f"≥ {row.wanted:g}",
        row.quality,
        row.note,
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
