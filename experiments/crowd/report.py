"""What crowds leave: tables of measured against exact, and the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining import figures, theory
from experiments.repeated import standard_error

Courses = Mapping[str, Mapping[str, np.ndarray]]  # by K, then by metric
FIGURES = ("potential.png", "basins.png", "entropy.png", "rewards.png")
ENTROPY = "entropy of modes (nats)"


def write(out: Path, q: Sequence[float], measured: Courses, exact: Courses) -> None:
    """Prints the tables and leaves the figures in `out/figures`.

    `measured` are `[crowds, seeds, generations + 1, ...]` and `exact` `[crowds, generations + 1, ...]`: first the pairs
    of types, whose second has a share in `q`, then 1, 2, ... types in equal shares.
    """
    pairs, last = len(q), next(iter(exact.values()))["entropy"].shape[1] - 1
    equal = range(1, next(iter(exact.values()))["entropy"].shape[0] - pairs + 1)
    names = [*(f"q={value:g}" for value in q), *(f"M={m}" for m in equal)]
    print(table("smallest change of W in a generation", names, _falls(measured, exact)))
    ends = {
        k: (found["basin"][:pairs, :, last, 1], exact[k]["basin"][:pairs, last, 1]) for k, found in measured.items()
    }
    print(table(f"share of the second basin, t = {last}", names[:pairs], ends))
    ends = {k: (found["entropy"][..., last], exact[k]["entropy"][:, last]) for k, found in measured.items()}
    print(table(f"{ENTROPY}, t = {last}", names, ends))
    for metric, unit in (("basin", ""), ("entropy", " nats"), ("potential", " nats")):
        away = {k: abs(found[metric].mean(axis=1) - exact[k][metric]).max() for k, found in measured.items()}
        print(f"largest |difference| of {metric}: " + ", ".join(f"{v:.3f}{unit} at K={k}" for k, v in away.items()))
    print(f"results in {out}: k=K/metrics.csv, k=K/exact.csv, k=K/checkpoints/ and figures/ ({', '.join(FIGURES)})")

    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    rows = [_named(k) for k in measured]
    courses = {name: _by_k(measured, "potential", index) for index, name in enumerate(names[:pairs])}
    figures.curves(
        folder / "potential.png",
        courses,
        {name: _by_k(exact, "potential", index) for index, name in enumerate(courses)},
        rows=rows,
        labels={name: f"W (nats), {name.replace('=', ' = ')}" for name in courses},
    )
    sides = {"1 − q": 0, "q": 1}
    at_end = np.s_[:pairs, ..., last, :]
    limits = {k: np.array([basin_limit(value, float(k)) for value in q]) for k in measured}  # [pairs, 2]
    figures.curves(
        folder / "basins.png",
        {
            name: np.stack([found["basin"][at_end][..., side].T for found in measured.values()])
            for name, side in sides.items()
        },
        {name: np.stack([exact[k]["basin"][at_end][..., side] for k in measured]) for name, side in sides.items()},
        rows=rows,
        bounds={
            name: [("limit of separated basins", np.stack([limit[:, side] for limit in limits.values()]))]
            for name, side in sides.items()
        },
        labels={name: f"share of {name}'s basin, t = {last}" for name in sides},
        x=np.array(q),
        axis="q, share of the second type",
    )
    figures.curves(
        folder / "entropy.png",
        {k: found["entropy"][pairs:] for k, found in measured.items()},
        {k: exact[k]["entropy"][pairs:] for k in measured},
        rows=[f"M = {m}" for m in equal],
        labels={k: f"{ENTROPY}, {row}" for k, row in zip(measured, rows, strict=True)},
    )
    times = sorted({last // 4, last // 2, last})
    figures.curves(
        folder / "rewards.png",
        {str(t): np.stack([found["entropy"][pairs:, :, t].T for found in measured.values()]) for t in times},
        {str(t): np.stack([exact[k]["entropy"][pairs:, t] for k in measured]) for t in times},
        rows=rows,
        bounds={str(t): [("log M", np.log(np.tile(equal, (len(rows), 1))))] for t in times},
        labels={str(t): f"{ENTROPY}, t = {t}" for t in times},
        x=np.array(equal),
        axis="M, number of rewards",
    )


def basin_limit(q: float, k: float, steps: int = 20_000) -> np.ndarray:
    """Where two separated basins of equal mass end, `[2]`, that of the share 1 − q first."""
    users, start = jnp.array([1 - q, q]), jnp.array([0.5, 0.5])
    return np.asarray(_settled(start, users, k, steps))


def table(title: str, names: Sequence[str], values: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """A row a crowd: at each K the mean over seeds of measured `[crowds, seeds]`, its standard error, and exact."""
    lines = [f"{title}: measured ± standard error | exact", f"{'':>8}" + "".join(f"{f'K={k}':>26}" for k in values)]
    for index, name in enumerate(names):
        cells = []
        for runs, exact in values.values():
            error = f"±{standard_error(runs[index]):.4f}" if runs.shape[1] > 1 else ""
            cells.append(f"{f'{runs[index].mean():.4f}{error} |{exact[index]:8.4f}':>26}")
        lines.append(f"{name:>8}" + "".join(cells))
    return "\n".join(lines)


def _named(k: str) -> str:
    """Along a vertical axis ∞ would look like an 8."""
    return "infinite K" if k == "inf" else f"K = {k}"


@jax.jit
def _settled(start, users, k, steps):
    return jax.lax.fori_loop(0, steps, lambda _, share: theory.basin_map(share, users, k=k), start)


def _falls(measured: Courses, exact: Courses):
    """The smallest change of W, a seed each and exact."""
    return {
        k: tuple(np.diff(course["potential"], axis=-1).min(axis=-1) for course in (found, exact[k]))
        for k, found in measured.items()
    }


def _by_k(courses: Courses, metric: str, index: int) -> np.ndarray:
    return np.stack([course[metric][index] for course in courses.values()])
