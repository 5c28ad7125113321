"""What adversaries leave: tables of measured against exact, and the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from curated_retraining import figures
from experiments.adversary import annotators, attacked

Courses = Mapping[str, np.ndarray]  # [cells, seeds, generations + 1] by metric
FIGURES = ("annotators.png", "shares.png", "attacks.png", "budgets.png", "gains.png")
GENUINE = "genuine E[exp r]"


def write(
    out: Path,
    people: tuple[Courses, Courses],
    learnt: tuple[Courses, Courses],
    shares: Sequence[float],
    budgets: Sequence[float],
    *,
    k: int,
) -> None:
    """Prints the tables and leaves the figures in `out/figures`.

    `people` and `learnt` are the measured and the exact courses of all cells; exact ones of `people` have one seed.
    """
    parts = {
        f"K = {k}, by share of adversaries": (people, annotators.cells(shares)),
        "K = ∞, by share of labels flipped": (learnt, attacked.cells(budgets)),
    }
    for title, (courses, cells) in parts.items():
        print(table(title, courses, [f"{kind} {share:g}" for kind, share in cells]))
        print(signs(*courses))
    parts_of_out = "annotators/, attacked/ (metrics.csv, exact.csv, checkpoints/) and figures/"
    print(f"results in {out}: {parts_of_out} ({', '.join(FIGURES)})")

    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    foretold = {"annotators": "Cov(exp r, H)", "attacks": "Cov / E[exp r′]"}
    for name, (measured, exact), kinds, rows in (
        ("annotators", people, annotators.KINDS, shares),
        ("attacks", learnt, attacked.KINDS, budgets),
    ):
        labels = {"genuine": GENUINE, "gain": foretold[name]}
        _over_generations(folder / f"{name}.png", measured, exact, kinds, rows, labels)
    for name, (measured, exact), kinds, x, axis in (
        ("shares", people, annotators.KINDS, shares, "share of adversaries"),
        ("budgets", learnt, attacked.KINDS, budgets, "share of labels flipped (budget)"),
    ):
        _over_shares(folder / f"{name}.png", measured, exact, kinds, np.array(x), axis)
    titles = (f"annotators, K = {k}", "learnt rewards, K = ∞")
    figures.agreement(
        folder / "gains.png",
        {title: _pairs(courses[0], cells) for title, (courses, cells) in zip(titles, parts.values(), strict=True)},
        axes=("change that the covariance foretells", "change of E[exp r] to the next pool"),
    )


def gains(courses: Courses) -> np.ndarray:
    """By how much E[e^r] changed in each generation, `[cells, seeds, generations]`."""
    return np.diff(courses["genuine"], axis=-1)


def table(title: str, courses: tuple[Courses, Courses], names: Sequence[str]) -> str:
    """A row a cell: E[e^r] and the covariance at first and last, means over seeds, measured | exact."""
    measured, exact = ({name: values.mean(axis=1) for name, values in found.items()} for found in courses)
    last = measured["genuine"].shape[1] - 1
    columns = {
        "E[exp r], t = 0": [found["genuine"][:, 0] for found in (measured, exact)],
        "t = 1": [found["genuine"][:, 1] for found in (measured, exact)],
        f"t = {last}": [found["genuine"][:, last] for found in (measured, exact)],
        "Cov, t = 0": [found["covariance"][:, 0] for found in (measured, exact)],
        f"Cov, t = {last}": [found["covariance"][:, last] for found in (measured, exact)],
    }
    lines = [f"{title}: measured | exact", f"{'':>16}" + "".join(f"{name:>20}" for name in columns)]
    for index, name in enumerate(names):
        cells = (f"{f'{pair[0][index]:.3f} |{pair[1][index]:8.3f}':>20}" for pair in columns.values())
        lines.append(f"{name:>16}" + "".join(cells))
    away = np.abs(measured["genuine"] - exact["genuine"])
    relative = (away / exact["genuine"]).max()
    lines.append(f"largest |difference| of E[exp r], mean over seeds: {away.max():.3f}, relative {relative:.3f}")
    return "\n".join(lines)


def signs(measured: Courses, exact: Courses) -> str:
    """How often E[e^r] rose and fell, and whether that was the sign of the covariance."""
    change, covariance = gains(exact), exact["covariance"][..., :-1]
    clear = np.abs(change) > 1e-4  # float32 sums
    agree = (np.sign(change) == np.sign(covariance))[clear]
    falls = (change[clear] < 0).sum()
    text = f"exact: E[exp r] rose or fell with the sign of the covariance in {agree.sum()} of {clear.sum()} generations"
    text += f", {falls} of them falls; "
    change, covariance = gains(measured), measured["gain"][..., :-1]
    error = (change - covariance).std()
    agree, counted = np.sign(change) == np.sign(covariance), np.abs(covariance) > 1e-4
    clear = np.abs(covariance) > 4 * error
    return text + (
        f"measured: in {agree[clear].sum()} of {clear.sum()} where the change foretold is over four times the sd "
        f"{error:.3f} of measured − foretold, in {agree[counted].sum()} of {counted.sum()} where it is not 0"
    )


def _over_generations(path, measured, exact, kinds, rows, labels):
    """A panel a kind and metric, a colour a share."""
    num = len(rows)
    names = {f"{kind} {name}": (index, name) for index, kind in enumerate(kinds) for name in labels}
    of_kind = {panel: np.s_[index * num : (index + 1) * num] for panel, (index, _) in names.items()}
    figures.curves(
        path,
        {panel: measured[name][of_kind[panel]] for panel, (_, name) in names.items()},
        {panel: exact[name][of_kind[panel]].mean(axis=1) for panel, (_, name) in names.items()},
        rows=[f"share {share:g}" for share in rows],
        bounds={panel: [("zero", np.zeros((num, 1)))] for panel, (_, name) in names.items() if name == "gain"},
        labels={panel: f"{labels[name]}, {kinds[index]}" for panel, (index, name) in names.items()},
    )


def _over_shares(path, measured, exact, kinds, x, axis):
    """E[e^r] after one generation and after all, and what the first generation's covariance said."""
    last = measured["genuine"].shape[-1] - 1
    panels = {f"{GENUINE}, t = 1": ("genuine", 1), f"{GENUINE}, t = {last}": ("genuine", last)}
    panels |= {"predicted change, t = 0": ("gain", 0)}

    def by_kind(values):
        return values.reshape(len(kinds), len(x), *values.shape[1:])

    figures.curves(
        path,
        {name: by_kind(measured[metric][..., t]).swapaxes(1, 2) for name, (metric, t) in panels.items()},
        {name: by_kind(exact[metric][..., t].mean(axis=1)) for name, (metric, t) in panels.items()},
        rows=kinds,
        bounds={"predicted change, t = 0": [("zero", np.zeros((len(kinds), 1)))]},
        labels={name: name for name in panels},
        x=x,
        axis=axis,
    )


def _pairs(measured, cells):
    """What a pool's covariance foretells and what came, all generations of all seeds and shares, by kind."""
    foretold, came, found = measured["gain"][..., :-1], gains(measured), {}
    for name in dict.fromkeys(kind for kind, _ in cells):
        of_kind = [kind == name for kind, _ in cells]
        found[name] = (foretold[of_kind].ravel(), came[of_kind].ravel())
    return found
