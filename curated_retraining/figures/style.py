"""The look that all figures share, and how they become files."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

FilePath = str | os.PathLike[str]
Extent = tuple[float, float, float, float]  # x0, x1, y0, y1

# Okabe and Ito's colours; their yellow, too weak on white, gives way to Tol's brown.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#661100")
MARKERS = "osD^vP*X"
GENERATION = "generation (retrainings)"
WIDTH = 7.2  # inches: a page of text, so that sizes of type are what a reader sees
STYLE: dict[Any, Any] = {
    **{name: 7 for name in ("font.size", "axes.labelsize", "axes.titlesize", "figure.titlesize")},
    **{name: 6 for name in ("xtick.labelsize", "ytick.labelsize")},
    **{name: 2.5 for name in ("xtick.major.size", "ytick.major.size")},
    **{name: 0.6 for name in ("axes.linewidth", "xtick.major.width", "ytick.major.width")},
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.dashed_pattern": (3, 1.5),
    "lines.linewidth": 1.0,
    "lines.markersize": 3.0,
    "savefig.bbox": "standard",
}


def colour(index):
    """The colour of the row or class `index`."""
    return COLOURS[index % len(COLOURS)]


def over_seeds(seeds, what="mean and range"):
    """What a legend says of numbers from several seeds, or one."""
    return "one seed" if seeds == 1 else f"{what} over {seeds} seeds"


def title_of(name, labels):
    """What a figure calls a metric: its label, or its name in words."""
    return (labels or {}).get(name, name.replace("_", " "))


def panels(num, size=(1.8, 1.75), sharey=False):
    """A figure of `num` panels, at most four a line."""
    lines = -(-num // 4)
    columns = -(-num // lines)
    figure = Figure((size[0] * columns, size[1] * lines), layout=ConstrainedLayoutEngine(h_pad=0.06))
    axes = figure.subplots(lines, columns, sharey=sharey, squeeze=False).ravel()
    for spare in axes[num:]:
        spare.remove()
    return figure, axes[:num]


def label_along(ax: Axes, label=GENERATION, whole=True):
    """Labels the axis that courses go along, with a few round ticks, at `whole` numbers alone."""
    ax.set_xlabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=whole))


def finish(figure: Figure, legend, title=""):
    """Adds the legend, below, in the fewest lines that the width allows, with room for it, and the title."""
    inches = [0.43 + 0.05 * len(entry.get_label()) for entry in legend]
    fits = [num for num in range(1, len(legend) + 1) if _legend_width(inches, num) <= figure.get_figwidth()]
    if legend:
        lines = -(-len(legend) // max(fits, default=1))
        figure.legend(handles=legend, loc="outside lower center", ncols=-(-len(legend) // lines))
        figure.set_figheight(figure.get_figheight() + 0.15 * lines + 0.1)
    if title:
        figure.set_figheight(figure.get_figheight() + 0.2)
        figure.suptitle(title)


def _legend_width(inches, columns):
    return sum(column.max() for column in np.array_split(np.array(inches), columns))


def require_rows(rows, **arrays):
    """Refuses arrays that do not have one entry a row."""
    for name, values in arrays.items():
        if values is not None and len(values) != len(rows):
            raise ValueError(f"{len(rows)} row titles for {len(values)} rows of {name}")


def write(path, figure: Figure):
    """Saves a figure as one PNG."""
    publish(path, partial(figure.savefig, dpi=220, bbox_inches="tight", pad_inches=0.03))


def publish(path, write: Callable[[Path], object]):
    """Lets `write` make the file under another name first: `path` holds a whole picture or what it held before."""
    path = Path(path)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
