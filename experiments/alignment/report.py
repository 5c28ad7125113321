"""Measured beside exact: the courses, a table of them and the figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from curated_retraining import figures
from curated_retraining.driver import History
from experiments.alignment import exact
from experiments.alignment.methods import Method
from experiments.alignment.problems import Points
from experiments.repeated import standard_error

NAMES: tuple[str, ...] = ("kl", "reward_mean", "excess_kl")
LETTERS = {"lam": "λ", "beta": "β", "n": "n"}


class Course(NamedTuple):
    """A line of the figure: places along generations, or along a hyper-parameter."""

    name: str
    at: list[str]  # what each place is
    measured: np.ndarray  # [seeds, places, 3]: KL, mean reward, excess KL
    exact: np.ndarray  # [places, 3]
    over_generations: bool


def courses(points: Points, method: Method, history: History) -> list[Course]:
    """The courses of a method from its history, `[values, seeds, generations + 1]` a metric."""
    axis, values = _axis(method)
    measured = np.stack([history[name] for name in NAMES], axis=-1)
    theirs = exact_courses(points, method)
    if method.anew:
        at = [f"{LETTERS[axis]}={value:g}" for value in values]
        return [Course(method.name, at, np.moveaxis(measured[:, :, 1], 0, 1), theirs[:, 1], False)]
    at = [f"t={generation}" for generation in range(method.generations + 1)]
    names = [method.name + (f", {LETTERS[axis]}={value:g}".replace("inf", "∞") if axis else "") for value in values]
    return [Course(name, at, runs, places, True) for name, runs, places in zip(names, measured, theirs, strict=True)]


def exact_courses(points: Points, method: Method) -> np.ndarray:
    """What a perfect learner does for each value of a method, `[values, generations + 1, 3]`."""
    axis, values = _axis(method)
    found = [method.exact(points, **({axis: value} if axis else {})) for value in values]
    return np.stack([np.stack([places[name] for name in NAMES], axis=-1) for places in found])


def frontier(points: Points, most: float) -> np.ndarray:
    """KL and mean reward of the optima p_ref e^{r/β}, `[m, 2]`, from p_ref to a KL of `most` where one has that."""
    spread = points.reward.max() - points.reward.min()
    at = exact.frontier(points, jnp.append(0.0, jnp.geomspace(0.1, 200.0, 120) / spread))
    places = np.stack([at["kl"], at["reward_mean"]], axis=-1)
    return places[: np.searchsorted(places[:, 0], most) + 1]


def write(out: Path, played: Mapping[str, tuple[Points, Sequence[Course]]]) -> None:
    """Prints a table a problem and leaves the figure in `out/figures`."""
    for name, (_, lines) in played.items():
        print(f"{name}\n{table(lines)}")
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    most = {name: max(line.measured[..., 0].max() for line in lines) for name, (_, lines) in played.items()}
    figures.frontier(
        folder / "frontier.png",
        {name: {line.name: line.measured for line in lines} for name, (_, lines) in played.items()},
        {name: {line.name: line.exact for line in lines} for name, (_, lines) in played.items()},
        {name: frontier(points, most[name]) for name, (points, _) in played.items()},
        apart={line.name for _, lines in played.values() for line in lines if not line.over_generations},
    )
    print(f"results in {out}: PROBLEM/METHOD/metrics.csv, exact.csv and checkpoints/, figures/frontier.png")


def table(lines: Sequence[Course]) -> str:
    """Mean ± standard error over seeds, and what a perfect learner has; the last generation of a course."""
    heads = "".join(f"{head:>18}{'exact':>8}" for head in ("KL (nats)", "E[r]", "KL over frontier"))
    rows = [f"{'':>24}{heads}"]
    for line in lines:
        for place in [-1] if line.over_generations else range(len(line.at)):
            runs, theirs = line.measured[:, place], line.exact[place]
            errors = [f" ± {error:.3f}" if len(runs) > 1 else "" for error in standard_error(runs)]
            numbers = zip(runs.mean(axis=0), errors, theirs, strict=True)
            cells = "".join(f"{f'{mean:.3f}{error}':>18}{own:8.3f}" for mean, error, own in numbers)
            rows.append(f"{f'{line.name}, {line.at[place]}':>24}{cells}")
    seeds = len(lines[0].measured)
    return "\n".join([*rows, f"{'':>24}mean ± standard error over {seeds} seeds" if seeds > 1 else f"{'':>24}one seed"])


def _axis(method: Method) -> tuple[str, Sequence[float | None]]:
    """The hyper-parameter of a method and its values; one value without a name where it has none."""
    ((axis, values),) = method.axes.items() or [("", [None])]
    return axis, values
