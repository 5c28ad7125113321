"""Forecasts: predicted class shares and metrics over generations, with bands."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from curated_retraining.figures.style import (
    COLOURS,
    MARKERS,
    STYLE,
    FilePath,
    colour,
    finish,
    label_along,
    panels,
    require_rows,
    title_of,
    write,
)

Course = Mapping[str, np.ndarray]


@matplotlib.rc_context(STYLE)
def forecast(
    path: FilePath,
    course: Course,
    bands: tuple[Course, Course] | None = None,
    *,
    rows: Sequence[str],
    names: Sequence[str],
    labels: Mapping[str, str] | None = None,
    band: str = "band",
    title: str = "",
) -> None:
    """Writes the class shares of each row, a colour a class, then a panel a metric, a grey and a dash a row.

    `course` holds `share` `[rows, generations, classes]`, of which one class alone is not shown, and metrics
    `[rows, generations]`; `bands` hold the lower and the upper ends of each, and `band` is what the legend calls them.
    Classes beyond the eighth repeat the colours with hollow markers.
    """
    require_rows(rows, **course)
    share, labels = course["share"], labels or {}
    if len(names) != share.shape[2]:
        raise ValueError(f"{len(names)} names for {share.shape[2]} classes")
    shown = range(len(rows)) if len(names) > 1 else ()
    metrics = [name for name in course if name != "share"]
    figure, axes = panels(len(shown) + len(metrics))
    highest = max(share.max(), bands[1]["share"].max() if bands else 0)
    for row in shown:
        for index in range(len(names)):
            _line(axes[row], _ends(course, bands, "share", np.s_[row, :, index]), **_of_class(index))
        axes[row].set(title=rows[row], ylim=(0, 1.04 * highest), ylabel="share of samples" if row == 0 else "")
    for ax, name in zip(axes[len(shown) :], metrics, strict=True):
        for row in range(len(rows)):
            _line(ax, _ends(course, bands, name, row), **_of_row(row, len(rows)))
        ax.set_ylabel(title_of(name, labels))
    for ax in axes:
        label_along(ax)
    of_classes = [Line2D([], [], **_of_class(index), label=name) for index, name in enumerate(names)] if shown else []
    of_rows = [Line2D([], [], **_of_row(index, len(rows)), label=row) for index, row in enumerate(rows)]
    shaded = [Patch(facecolor="0.3", alpha=0.25, linewidth=0, label=band)] if bands else []
    finish(figure, [*of_classes, *of_rows, *shaded], title)
    write(path, figure)


def _ends(course, bands, name, index):
    """What is drawn of a metric, `[1 or 3, generations]`: itself and the ends of its band."""
    return np.stack([each[name][index] for each in (course, *(bands or ()))])


def _line(ax: Axes, ends, **look):
    generation = np.arange(ends.shape[1])
    ax.plot(generation, ends[0], markevery=max(1, len(generation) // 10), **look)
    if len(ends) == 3:
        ax.fill_between(generation, ends[1], ends[2], color=look["color"], alpha=0.2, linewidth=0)


def _of_class(index):
    face = colour(index) if index < len(COLOURS) else "white"
    return {"color": colour(index), "marker": MARKERS[index % len(MARKERS)], "markerfacecolor": face}


def _of_row(index, num):
    """Greys, which are no class's, from dark to light, and dashes."""
    shade = str(0.6 * index / max(num - 1, 1))
    return {"color": shade, "linestyle": ("-", "--", "-.", ":")[index % 4], "linewidth": 1.3}
