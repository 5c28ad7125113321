"""The reward–KL frontier, with what methods reach beside it."""

from collections.abc import Collection, Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from curated_retraining.figures.style import MARKERS, STYLE, WIDTH, FilePath, colour, finish, over_seeds, write

LEAST = 1e-3  # nats: less excess KL is drawn on the lower border

_OPTIMUM = {"color": "0.55", "linestyle": "--", "linewidth": 1.4, "zorder": 1}


@matplotlib.rc_context(STYLE)
def frontier(
    path: FilePath,
    measured: Mapping[str, Mapping[str, np.ndarray]],
    exact: Mapping[str, Mapping[str, np.ndarray]],
    optimum: Mapping[str, np.ndarray],
    *,
    apart: Collection[str] = (),
    theory: str = "exact",
    title: str = "",
) -> None:
    """Writes a column a problem: mean reward over KL to the real data and, below, how far right of the frontier.

    `measured` `[seeds, places, 3]` and `exact` `[places, 3]` by problem and method hold KL, mean reward and the KL in
    excess of the least at that reward, in nats; `optimum` `[m, 2]` by problem is the frontier. Methods are means over
    seeds, a colour each, with the range over seeds as bars; what is exact is dashed in their colour. Places of the
    methods in `apart` are no course: they are not joined, and hollow markers are what is exact.

    Raises:
        ValueError: where a method has no exact places of its shape, or problems differ.
    """
    if not measured.keys() == exact.keys() == optimum.keys():
        raise ValueError(f"problems differ: {list(measured)}, {list(exact)} and {list(optimum)}")
    names = list(dict.fromkeys(name for methods in measured.values() for name in methods))
    figure = Figure((WIDTH, 5.0), layout=ConstrainedLayoutEngine(h_pad=0.05))
    axes = figure.subplots(2, len(measured), squeeze=False, sharex="col", height_ratios=(3, 2))
    for (upper, lower), (problem, methods) in zip(axes.T, measured.items(), strict=True):
        upper.plot(*optimum[problem].T, **_OPTIMUM)
        for name, runs in methods.items():
            theirs = exact[problem].get(name)
            if theirs is None or theirs.shape != runs.shape[1:]:
                raise ValueError(f"{name} of {problem} has no exact places of the shape {runs.shape[1:]}")
            _places(upper, runs[..., :2], theirs[:, :2], names.index(name), name in apart)
            _places(lower, _above(runs[..., ::2]), _above(theirs[:, ::2]), names.index(name), name in apart)
        upper.set_title(problem)
        lower.set(yscale="log", ylim=(LEAST, None), xlabel="KL to the real data (nats)")
    axes[0, 0].set_ylabel("mean reward E[r]")
    axes[1, 0].set_ylabel("KL beyond the frontier\nat equal reward (nats)")
    figure.align_ylabels()
    seeds = next(iter(next(iter(measured.values())).values())).shape[0]
    legend = [Line2D([], [], **_look(index, name in apart), label=name) for index, name in enumerate(names)]
    legend += [
        Line2D([], [], **_OPTIMUM, label="frontier, p ∝ p_ref exp(r/β)"),
        Line2D([], [], color="0.3", linestyle="--", linewidth=0.8, label=f"{theory}, in a method's colour"),
        *([Line2D([], [], **_hollow("0.3", "o"), label=f"{theory}, of a single place")] if apart else []),
        Line2D([], [], color="0.75", linewidth=1.8, marker="o", markerfacecolor="0.3", label=over_seeds(seeds)),
    ]
    finish(figure, legend, title)
    write(path, figure)


def _places(ax: Axes, runs, exact, index, apart):
    """Draws means of `runs` `[seeds, places, 2]` with their ranges and `exact` `[places, 2]`, dashed or hollow."""
    mean = runs.mean(axis=0)
    down, up = (np.maximum(part, 0) for part in (mean - runs.min(axis=0), runs.max(axis=0) - mean))  # means round
    bars = {"xerr": (down[:, 0], up[:, 0]), "yerr": (down[:, 1], up[:, 1])}
    ax.errorbar(*mean.T, **bars, fmt="none", ecolor=colour(index), elinewidth=0.7, zorder=2)
    ax.plot(*mean.T, **_look(index, apart), zorder=2)
    dashed = {"color": colour(index), "linestyle": "--", "linewidth": 0.8}
    ax.plot(*exact.T, **(_hollow(colour(index), MARKERS[index % len(MARKERS)]) if apart else dashed), zorder=3)


def _above(places):
    """Places whose second column is drawn on a logarithmic axis from `LEAST`."""
    return np.stack([places[..., 0], np.maximum(places[..., 1], LEAST)], axis=-1)


def _look(index, apart):
    """The look of what is measured: pale lines, so that a dashed one of the same colour shows on them."""
    marker = {
        "marker": MARKERS[index % len(MARKERS)],
        "markeredgecolor": colour(index),
        "markerfacecolor": colour(index),
    }
    return {"color": (colour(index), 0.45), "linewidth": 1.8, "linestyle": "" if apart else "-", **marker}


def _hollow(edge, marker):
    look = {"marker": marker, "markersize": 6.5, "markerfacecolor": "none", "markeredgecolor": edge}
    return {"linestyle": "", **look, "markeredgewidth": 0.7}
