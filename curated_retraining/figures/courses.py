"""Courses over generations: metrics and class shares, measured and exact."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from curated_retraining.figures.style import (
    COLOURS,
    GENERATION,
    MARKERS,
    STYLE,
    FilePath,
    colour,
    finish,
    label_along,
    over_seeds,
    panels,
    require_rows,
    title_of,
    write,
)

_DOTS: tuple[Any, ...] = (":", "-.", (0, (4, 1, 1, 1, 1, 1)))


@matplotlib.rc_context(STYLE)
def curves(
    path: FilePath,
    measured: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    *,
    rows: Sequence[str],
    bounds: Mapping[str, Sequence[tuple[str, np.ndarray]]] | None = None,
    labels: Mapping[str, str] | None = None,
    theory: str = "exact",
    title: str = "",
    x: np.ndarray | None = None,
    axis: str = GENERATION,
) -> None:
    """Writes a panel a metric and a colour a row: mean and range over seeds, theory dashed, bounds dotted.

    `measured` `[rows, seeds, generations]`, `exact` `[rows, generations]`, where known, and `bounds` (label,
    `[rows, generations or 1]`) by name of the metric; a bound is left out where it is not finite. `theory` is what the
    legend calls the dashed lines. In the place of generations there may be values `x` of another `axis`.
    """
    bounds = bounds or {}
    finite = (label for name in measured for label, bound in bounds.get(name, ()) if np.isfinite(bound).any())
    dots = {label: _DOTS[index % len(_DOTS)] for index, label in enumerate(dict.fromkeys(finite))}
    figure, axes = panels(len(measured))
    for ax, (name, runs) in zip(axes, measured.items(), strict=True):
        require_rows(rows, **{name: runs})
        places = np.arange(runs.shape[2]) if x is None else x
        for row in range(len(rows)):
            _course(ax, runs[row], exact[name][row] if name in exact else None, row, places)
            for label, bound in bounds.get(name, ()):
                _bound(ax, bound[row], places, color=colour(row), linestyle=dots.get(label), label=label)
        ax.set_ylabel(title_of(name, labels))
        label_along(ax, axis, whole=x is None)
    seeds = next(iter(measured.values())).shape[1]
    dotted = [Line2D([], [], color="0.3", linestyle=style, label=label) for label, style in dots.items()]
    finish(
        figure,
        [*_legend(rows), *_course_legend(seeds, theory if exact.keys() & measured.keys() else ""), *dotted],
        title,
    )
    write(path, figure)


@matplotlib.rc_context(STYLE)
def shares(
    path: FilePath,
    share: np.ndarray,
    exact: np.ndarray | None,
    *,
    rows: Sequence[str],
    names: Sequence[str],
    theory: str = "exact",
    title: str = "",
) -> None:
    """Writes the share of each class `[rows, seeds, generations, classes]`, a panel a row, theory dashed.

    `exact` `[rows, generations, classes]`. Classes beyond the eighth repeat the colours with hollow markers.
    """
    require_rows(rows, share=share, exact=exact)
    if len(names) != share.shape[3]:
        raise ValueError(f"{len(names)} names for {share.shape[3]} classes")
    figure, axes = panels(len(rows), sharey=True)
    for row, ax in enumerate(axes):
        for label in range(len(names)):
            _course(ax, share[row, ..., label], None if exact is None else exact[row, :, label], label)
        ax.set(title=rows[row], ylim=(0, None))
        label_along(ax)
    axes[0].set_ylabel("share of samples")
    finish(figure, [*_legend(names), *_course_legend(share.shape[1], "" if exact is None else theory)], title)
    write(path, figure)


def _course(ax: Axes, runs, exact, index, x=None):
    """Draws the mean of `runs` `[seeds, generations]` and their range; on top, dashed, `exact` `[generations]`."""
    x = np.arange(runs.shape[1]) if x is None else x
    every = max(1, len(x) // 10)
    ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour(index), alpha=0.2, linewidth=0)
    ax.plot(x, runs.mean(axis=0), **_measured(index), markevery=every)
    if exact is not None:
        ax.plot(x[: len(exact)], exact, color=colour(index), linestyle="--", zorder=3)


def _bound(ax: Axes, bound, x, **look):
    """Draws a bound, `[len(x) or 1]`, where it is finite."""
    bound = np.broadcast_to(bound, len(x))
    finite = np.isfinite(bound)
    if finite.any():
        ax.plot(x[finite], bound[finite], **look)


def _measured(index):
    """The look of a measured line: pale, so that a dashed line of the same colour shows on it."""
    face = colour(index) if index < len(COLOURS) else "white"
    marker = {"marker": MARKERS[index % len(MARKERS)], "markeredgecolor": colour(index), "markerfacecolor": face}
    return {"color": (colour(index), 0.45), "linewidth": 1.8, **marker}


def _legend(names):
    return [Line2D([], [], **_measured(index), label=name) for index, name in enumerate(names)]


def _course_legend(seeds, theory):
    """Entries, in grey, for what holds in every colour."""
    grey = {"color": "0.75", "linewidth": 1.8, "marker": "o", "markeredgecolor": "0.3", "markerfacecolor": "0.3"}
    dashed = Line2D([], [], color="0.3", linestyle="--", label=theory)
    return [Line2D([], [], **grey, label=over_seeds(seeds)), *([dashed] if theory else [])]
