"""Measured beside exact: the table and the figures."""

from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from curated_retraining import figures
from experiments import common

FLAGS = flags.FLAGS
AXES = {
    "reward_mean": "mean reward E[⟨w, φ⟩]",
    "population_length": "length of E[φ] (1: all alike)",
    "entropy": "entropy of modes (nats)",
    "taste_length": "length of w",
}


def table(kind: str, measured: dict[str, np.ndarray], course: dict[str, np.ndarray]) -> str:
    """The mean reward, mean over seeds against exact, and how far the population is from the exact one."""
    shown: Any = np.unique(np.linspace(0, FLAGS.generations, 9).round().astype(int))
    lines = [f"{f'{kind}: E[r]':>24}" + "".join(f"{f't={t}':>8}" for t in shown)]
    for row, lam in enumerate(FLAGS.lam):
        for name, values in (
            ("measured", measured["reward_mean"][row].mean(axis=0)),
            ("exact", course["reward_mean"][row]),
        ):
            lines.append(f"{f'λ={lam} {name}':>24}" + "".join(f"{value:8.3f}" for value in values[shown]))
        for name, what in (("population", "E[φ]"), ("taste", "w")):
            away = np.linalg.norm(measured[name][row] - course[name][row], axis=-1)  # [seeds, generations]
            lines.append(f"{f'{what} to exact':>24}{away.max():8.3f} at most, at t={away.max(axis=0).argmax()}")
    return "\n".join(lines)


def draw(folder: Path, kind: str, measured: dict[str, np.ndarray], course: dict[str, np.ndarray]) -> None:
    """Writes where w and E[φ] go, and the numbers over generations."""
    folder.mkdir(exist_ok=True)
    rows, called = common.row_titles(FLAGS.lam), {"taste w": "taste", "population E[φ]": "population"}
    paths, theirs = ({label: values[name] for label, name in called.items()} for values in (measured, course))
    figures.disk(folder / "paths.png", paths, theirs, rows=rows, axes=("first coordinate", "second coordinate"))
    names = [name for name in AXES if kind == "co_evolving" or name != "taste_length"]  # the others' is 1
    figures.curves(folder / "curves.png", {name: measured[name] for name in names}, course, rows=rows, labels=AXES)
