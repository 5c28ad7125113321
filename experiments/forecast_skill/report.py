"""How far forecasts were off: errors, their table and CSV, and the figures."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from curated_retraining import figures
from experiments import common
from experiments.forecast_skill.courses import Course
from experiments.plane.target import Target

FLAGS = flags.FLAGS


def errors(measured: np.ndarray, foretold: np.ndarray, perfect: np.ndarray) -> dict[str, float]:
    """Mean absolute errors over generations 1, 2, ... and classes, of `[seeds, t, ...]`.

    `error` and its range over seeds; `perfect`, that of a learner without fault on pools of the same size, which is
    sampling alone; `bias`, that of the mean over seeds, with what sampling alone would leave of it, `bias_perfect`.
    """
    of_seed = np.abs(measured - foretold)[:, 1:].reshape(len(measured), -1).mean(axis=1)
    off = (perfect - foretold[:, None])[:, :, 1:]
    return {
        "error": of_seed.mean(),
        "error_low": of_seed.min(),
        "error_high": of_seed.max(),
        "perfect": np.abs(off).mean(),
        "bias": np.abs((measured - foretold)[:, 1:].mean(axis=0)).mean(),
        "bias_perfect": np.abs(off.mean(axis=0)).mean(),
    }


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    lines = [
        f"{'data':>6} {'model':>14} {'λ':>5} {'of':>7} {'error':>7} {'over seeds':>15} {'perfect':>8} "
        f"{'bias':>7} {'perfect':>8}"
    ]
    for row in rows:
        span = f"{row['error_low']:.4f}–{row['error_high']:.4f}"
        lines.append(
            f"{row['data']:>6} {row['model']:>14} {row['lam']:>5} {row['of']:>7} {row['error']:7.4f} {span:>15} "
            f"{row['perfect']:8.4f} {row['bias']:7.4f} {row['bias_perfect']:8.4f}"
        )
    return "\n".join(lines)


def draw(folder: Path, target: Target, measured: Course, foretold: Course) -> None:
    """Writes both courses, `[rows, seeds, generations + 1, ...]` each, the forecast's mean over seeds dashed."""
    folder.mkdir(exist_ok=True)
    look = {"rows": common.row_titles(FLAGS.lam), "theory": "forecast from generation 0"}
    figures.shares(folder / "shares.png", measured.share, foretold.share.mean(axis=1), names=target.names, **look)
    figures.curves(
        folder / "reward.png",
        {"reward": measured.reward},
        {"reward": foretold.reward.mean(axis=1)},
        labels={"reward": "gain of mean reward (sd of t = 0)"},
        **look,
    )
