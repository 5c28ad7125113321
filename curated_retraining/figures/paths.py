"""Courses of points in the plane: where a vector of at most unit length goes, measured and exact."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from curated_retraining.figures.style import MARKERS, STYLE, FilePath, colour, finish, panels, require_rows, write


@matplotlib.rc_context(STYLE)
def disk(
    path: FilePath,
    measured: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    *,
    rows: Sequence[str],
    axes: tuple[str, str],
    theory: str = "exact",
    title: str = "",
) -> None:
    """Writes a panel a row with the unit circle, in it a colour a name: each seed's course, the exact one dashed.

    `measured` `[rows, seeds, generations, 2]` and, where known, `exact` `[rows, generations, 2]` by name; `axes` names
    the two coordinates.
    """
    figure, places = panels(len(rows), (2.4, 2.4), sharey=True)
    for name, runs in measured.items():
        require_rows(rows, **{name: runs})
    for row, ax in enumerate(places):
        ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor="0.6", linewidth=0.6))
        for index, (name, runs) in enumerate(measured.items()):
            draw_course(ax, runs[row], exact[name][row] if name in exact else None, index)
        ax.set(title=rows[row], xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xlabel=axes[0])
    places[0].set_ylabel(axes[1])
    finish(figure, course_legend(measured, bool(exact.keys() & measured.keys()) and theory), title)
    write(path, figure)


def draw_course(ax: Axes, runs, exact, index):
    """Draws each of `runs` `[seeds, generations, 2]`, its first and last point marked, and `exact` dashed on top."""
    for run in runs:
        ax.plot(*run.T, color=(colour(index), 0.5), linewidth=0.9, marker=".", markersize=2)
        ax.plot(*run[0], **_first(index), zorder=4)
        ax.plot(*run[-1], **_last(index), zorder=4)
    if exact is not None:
        ax.plot(*exact.T, color="black", linestyle="--", linewidth=0.8, zorder=3)


def course_legend(names, theory):
    """Entries for the colours of `names` and for what holds in all of them."""
    lines = [Line2D([], [], **_last(index), linewidth=0.9, label=name) for index, name in enumerate(names)]
    grey: dict[str, Any] = {"marker": "o", "color": "0.4", "linestyle": "none"}
    marks = [
        Line2D([], [], **grey, markerfacecolor="white", label="first generation"),
        Line2D([], [], **grey, label="last generation of a seed"),
    ]
    dashed = [Line2D([], [], color="black", linestyle="--", linewidth=0.8, label=theory)] if theory else []
    return [*lines, *marks, *dashed]


def _first(index) -> dict[str, Any]:
    return _last(index) | {"markerfacecolor": "white"}


def _last(index) -> dict[str, Any]:
    return {"color": colour(index), "marker": MARKERS[index % len(MARKERS)], "markersize": 4}
