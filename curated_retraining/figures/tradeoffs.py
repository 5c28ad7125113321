"""What is gained against what is lost: families of settings as lines through the plane of two quantities."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from curated_retraining.figures.style import COLOURS, MARKERS, STYLE, FilePath, colour, finish, over_seeds, write

_HALO = [withStroke(linewidth=1.6, foreground="white")]


@matplotlib.rc_context(STYLE)
def tradeoff(
    path: FilePath,
    measured: Mapping[str, tuple[np.ndarray, np.ndarray]],
    exact: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    axes: tuple[str, str],
    strengths: Mapping[str, Sequence[str]],
    theory: str = "exact",
    title: str = "",
) -> None:
    """Writes one panel with a line a family: x and y of `measured` `[points, seeds]`, of `exact` `[points]` dashed.

    Points are means over seeds with bars over their range, each with its strength beside it; a family is joined in the
    order given. Exact points are hollow, and left out where they are not numbers.
    """
    for name, (x, y) in measured.items():
        if x.shape != y.shape or len(strengths[name]) != len(x):
            raise ValueError(
                f"{name} has {len(strengths[name])} strengths for points of shapes {x.shape} and {y.shape}"
            )
    figure = Figure((4.6, 3.4), layout=ConstrainedLayoutEngine(h_pad=0.06))
    ax = figure.subplots()
    for index, (name, (x, y)) in enumerate(measured.items()):
        middle = x.mean(axis=1), y.mean(axis=1)
        bars = [np.stack([m - v.min(axis=1), v.max(axis=1) - m]) for m, v in zip(middle, (x, y), strict=True)]
        ax.errorbar(*middle, xerr=bars[0], yerr=bars[1], **_look(index), elinewidth=0.8, zorder=3 - 0.1 * index)
        if name in exact:
            look = {"marker": MARKERS[index % len(MARKERS)], "markersize": 5, "markerfacecolor": "none"}
            ax.plot(*exact[name], color=colour(index), linestyle="--", linewidth=0.8, zorder=4, **look)
    ax.set(xlabel=axes[0], ylabel=axes[1])
    ax.margins(0.13, 0.08)  # room for strengths
    _name_points(ax, measured, strengths)
    seeds = next(iter(measured.values()))[0].shape[1]
    grey = {"color": "0.4", "markersize": 3.5}
    legend = [Line2D([], [], **_look(index), label=name) for index, name in enumerate(measured)]
    legend.append(Line2D([], [], linestyle="", marker="o", label=over_seeds(seeds, "mean, bars: range"), **grey))
    if exact:
        legend.append(Line2D([], [], linestyle="--", marker="o", markerfacecolor="none", label=theory, **grey))
    finish(figure, legend, title)
    write(path, figure)


def _name_points(ax: Axes, measured, strengths):
    """Writes its strength to the right of each point, below those of points that are near."""
    named = []
    for index, (name, (x, y)) in enumerate(measured.items()):
        for place, text in zip(zip(x.mean(axis=1), y.mean(axis=1), strict=True), strengths[name], strict=True):
            if not text:
                continue
            at = ax.transAxes.inverted().transform(ax.transData.transform(place))
            near = sum(abs(at[0] - other[0]) < 0.08 and abs(at[1] - other[1]) < 0.05 for other in named)
            named.append(at)
            look = {"size": 5.5, "color": colour(index), "path_effects": _HALO}
            ax.annotate(text, place, (4, -8 - 7 * near), textcoords="offset points", **look)


def _look(index):
    face = colour(index) if index < len(COLOURS) else "white"
    return {"color": colour(index), "marker": MARKERS[index % len(MARKERS)], "markersize": 3.5, "markerfacecolor": face}
