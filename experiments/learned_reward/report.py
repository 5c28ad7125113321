"""Proxy beside truth: the table and the figures."""

from pathlib import Path

import numpy as np
from absl import flags

from curated_retraining import figures
from experiments import common
from experiments.repeated import standard_error

FLAGS = flags.FLAGS
AXES = {
    "reward_mean": "E[proxy]",
    "true_mean": "E[true reward]",
    "gap": "E[proxy] − E[true reward]",
    "correlation": "correlation in the pool",
}


def table(runs: dict[str, dict[str, np.ndarray]], course: np.ndarray) -> str:
    """Proxy and truth, mean over seeds, at the start, at the true reward's best, and at the end."""
    lines = []
    for row, lam in enumerate(FLAGS.lam):
        columns = [
            "E[true] t=0",
            "best",
            "at t",
            "last",
            "fall",
            "± se",
            "E[proxy] at best",
            "last",
            "correlation",
            "last",
        ]
        lines.append(f"{f'λ={lam}':>24}" + "".join(f"{name:>{max(8, len(name) + 2)}}" for name in columns))
        for name, values in runs.items():
            true, proxy, together = (values[metric][row] for metric in ("true_mean", "reward_mean", "correlation"))
            mean = true.mean(axis=0)
            best = int(mean.argmax())
            fall = true[:, best] - true[:, -1]
            error = standard_error(fall)
            read, alike = proxy.mean(axis=0), together.mean(axis=0)
            numbers = [
                mean[0],
                mean[best],
                best,
                mean[-1],
                fall.mean(),
                error,
                read[best],
                read[-1],
                alike[0],
                alike[-1],
            ]
            texts = (
                "" if np.isnan(n) else f"{n:.{0 if c == 'at t' else 3}f}" for c, n in zip(columns, numbers, strict=True)
            )
            cells = zip(columns, texts, strict=True)
            lines.append(f"{name:>24}" + "".join(f"{text:>{max(8, len(column) + 2)}}" for column, text in cells))
        for name in runs.keys() & set(titles("truth")):
            away = np.abs(runs[name]["true_mean"][row].mean(axis=0) - course[row])
            lines.append(f"{'no proxy to exact':>24}{away.max():8.3f} at most, at t={away.argmax()}")
    return "\n".join(lines)


def draw(path: Path, lam: str, runs: dict[str, dict[str, np.ndarray]], course: np.ndarray, row: int) -> None:
    """Writes the courses of one λ; what says nothing of a level, the refitted proxy, has none drawn."""
    measured = {metric: np.stack([values[metric][row] for values in runs.values()]) for metric in AXES}
    refitted = [name in titles("refitted") for name in runs]
    for metric in ("reward_mean", "gap"):
        measured[metric][refitted] = np.nan
    exact = np.full((len(runs), FLAGS.generations + 1), np.nan)
    exact[[name in titles("truth") for name in runs]] = course[row]
    figures.curves(
        path,
        measured,
        {"reward_mean": exact, "true_mean": exact},
        rows=list(runs),
        labels=AXES,
        theory="exact, curated by r",
        title=f"{common.row_titles([lam])[0]} (the refitted proxy has no level: choices are among its own pool)",
    )


def titles(proxy: str) -> list[str]:
    """What the table and the figure call the cells of a proxy, but for λ and seed."""
    if proxy == "truth":
        return ["true reward, no proxy"]
    if proxy == "ensemble":
        return [f"mean of {FLAGS.members}, frozen", f"mean − {FLAGS.pessimism:g} sd of {FLAGS.members}, frozen"]
    return [{"frozen": "one proxy, frozen", "refitted": "one proxy, refitted"}[proxy]]
