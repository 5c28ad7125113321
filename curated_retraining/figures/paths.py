"""Courses of points in a shape: of vectors in the unit disk, of shares of three kinds in a triangle."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from curated_retraining.figures.style import MARKERS, STYLE, FilePath, colour, finish, panels, require_rows, write

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])  # left, right, top


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
            _draw_course(ax, runs[row], exact[name][row] if name in exact else None, index)
        ax.set(title=rows[row], xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xlabel=axes[0])
    places[0].set_ylabel(axes[1])
    finish(figure, _course_legend(measured, bool(exact.keys() & measured.keys()) and theory), title)
    write(path, figure)


@matplotlib.rc_context(STYLE)
def ternary(
    path: FilePath,
    share: np.ndarray,
    exact: np.ndarray | None,
    *,
    rows: Sequence[str],
    names: Sequence[str],
    measured: str = "measured, a line a seed",
    theory: str = "exact",
    title: str = "",
) -> None:
    """Writes a triangle a row: the course of each seed's shares `[rows, seeds, generations, 3]`, the exact one dashed.

    `exact` `[rows, generations, 3]`; `names` are those of the corners left, right and top. Grid lines are shares of
    0.2, 0.4, 0.6 and 0.8.

    Raises:
        ValueError: where there are not three names and shares, or a point's shares do not sum to one.
    """
    require_rows(rows, share=share, exact=exact)
    for name, values in (("share", share), ("exact", exact)):
        if values is not None and (values.shape[-1] != 3 or len(names) != 3):
            raise ValueError(f"{name} of {values.shape[-1]} kinds with {len(names)} names: a triangle takes three")
        if values is not None and not np.allclose(values.sum(axis=-1), 1, atol=1e-3):
            raise ValueError(f"{name} does not sum to one over the three kinds: give shares")
    figure, axes = panels(len(rows), (2.4, 2.35))
    for row, ax in enumerate(axes):
        _triangle(ax, names)
        _draw_course(ax, share[row] @ CORNERS, None if exact is None else exact[row] @ CORNERS, 0)
        ax.set_title(rows[row])
    finish(figure, _course_legend([measured], exact is not None and theory), title)
    write(path, figure)


def _draw_course(ax: Axes, runs, exact, index):
    """Draws each of `runs` `[seeds, generations, 2]`, its first and last point marked, and `exact` dashed on top."""
    for run in runs:
        ax.plot(*run.T, color=(colour(index), 0.5), linewidth=0.9, marker=".", markersize=2)
        ax.plot(*run[0], **_first(index), zorder=4)
        ax.plot(*run[-1], **_last(index), zorder=4)
    if exact is not None:
        ax.plot(*exact.T, color="black", linestyle="--", linewidth=0.8, zorder=3)


def _course_legend(names, theory):
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


def _triangle(ax: Axes, names):
    """Draws the sides, the lines of even shares and the names of the corners."""
    for level in (0.2, 0.4, 0.6, 0.8):
        for kind in range(3):
            ends = np.full((2, 3), 0.0)
            ends[:, kind] = level
            ends[0, (kind + 1) % 3] = ends[1, (kind + 2) % 3] = 1 - level
            ax.plot(*(ends @ CORNERS).T, color="0.88", linewidth=0.5, zorder=0)
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.3", linewidth=0.7, zorder=1)
    for corner, name, (across, up) in zip(CORNERS, names, ((0, -1), (0, -1), (0, 1)), strict=True):
        place = {"xytext": (4 * across, 4 * up), "textcoords": "offset points", "ha": "center"}
        ax.annotate(f"all {name}", corner, **place, va="top" if up < 0 else "bottom")
    ax.set(xlim=(-0.12, 1.12), ylim=(-0.08, 0.95), aspect="equal")
    ax.set_axis_off()
