"""Shares of three kinds as courses in a triangle: a corner is one kind alone, the middle all three evenly."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from curated_retraining.figures.paths import course_legend, draw_course
from curated_retraining.figures.style import STYLE, FilePath, finish, panels, require_rows, write

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])  # left, right, top


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
        draw_course(ax, share[row] @ CORNERS, None if exact is None else exact[row] @ CORNERS, 0)
        ax.set_title(rows[row])
    finish(figure, course_legend([measured], exact is not None and theory), title)
    write(path, figure)


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
