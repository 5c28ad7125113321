"""What is measured along a hyper-parameter, beside what is exact."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from curated_retraining.figures.style import (
    MARKERS,
    STYLE,
    FilePath,
    colour,
    finish,
    over_seeds,
    panels,
    require_rows,
    title_of,
    write,
)


@matplotlib.rc_context(STYLE)
def along(
    path: FilePath,
    measured: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    *,
    x: np.ndarray,
    exact_x: np.ndarray,
    axis: str,
    rows: Sequence[str],
    labels: Mapping[str, str] | None = None,
    marks: np.ndarray | None = None,
    marks_label: str = "",
    zero: Sequence[str] = (),
    title: str = "",
) -> None:
    """Writes a panel a quantity and a colour a row: means and ranges over seeds at `x`, the exact course dashed.

    `measured` `[rows, seeds, x]`, not a number where nothing was, and `exact` `[rows, exact_x]` by name; `axis` is what
    the horizontal axis shows. `marks` `[rows]` are dotted lines at places along it, left out where not inside. The
    quantities in `zero` have a line at zero.
    """
    figure, axes = panels(len(measured), (3.4 if len(measured) < 3 else 2.3, 2.3))
    inside = [] if marks is None else [(row, at) for row, at in enumerate(marks) if exact_x[0] <= at <= exact_x[-1]]
    for ax, (name, runs) in zip(axes, measured.items(), strict=True):
        require_rows(rows, **{name: runs})
        if name in zero:
            ax.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        for row, at in inside:
            ax.axvline(at, color=colour(row), linestyle=":", zorder=0)
        for row in range(len(rows)):
            there = np.isfinite(runs[row]).all(axis=0)
            values = runs[row][:, there]
            mean = values.mean(axis=0)
            spread = np.stack([mean - values.min(axis=0), values.max(axis=0) - mean])
            ax.plot(exact_x, exact[name][row], color=colour(row), linestyle="--")
            ax.errorbar(np.asarray(x)[there], mean, spread, **_points(row), elinewidth=0.8)
        ax.set(xlabel=axis, ylabel=title_of(name, labels))
    seeds = next(iter(measured.values())).shape[1]
    legend = [Line2D([], [], **_points(row), label=name) for row, name in enumerate(rows)]
    legend.append(
        Line2D([], [], color="0.3", linestyle="", marker="o", markerfacecolor="none", label=over_seeds(seeds))
    )
    legend.append(Line2D([], [], color="0.3", linestyle="--", label="exact"))
    if inside:
        legend.append(Line2D([], [], color="0.3", linestyle=":", label=marks_label))
    finish(figure, legend, title)
    write(path, figure)


def _points(row):
    """Hollow, so that rows that coincide all show."""
    marker = {"marker": MARKERS[row % len(MARKERS)], "markersize": 4.5, "markerfacecolor": "none"}
    return {"color": colour(row), "linestyle": "", "markeredgewidth": 1.0, **marker}
