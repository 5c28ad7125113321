"""Changes as predicted and as measured: which way each went, and whether it was the way foretold."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from curated_retraining.figures.style import MARKERS, STYLE, FilePath, colour, finish, panels, write

LINEAR = 0.05


@matplotlib.rc_context(STYLE)
def agreement(
    path: FilePath,
    values: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    axes: tuple[str, str],
    title: str = "",
) -> None:
    """Writes a panel of points each: `values` are predicted and measured `[n]` by panel and by kind, a colour each.

    Both axes are linear near zero and logarithmic beyond `LINEAR`. Equality is dashed; grey is where the signs differ.
    """
    figure, all_axes = panels(len(values), (2.6, 2.5))
    kinds = list(dict.fromkeys(kind for of_panel in values.values() for kind in of_panel))
    for ax, (name, of_panel) in zip(all_axes, values.items(), strict=True):
        end = 1.3 * max(np.abs(np.concatenate(pair)).max() for pair in of_panel.values())
        ax.set_xscale("symlog", linthresh=LINEAR)
        ax.set_yscale("symlog", linthresh=LINEAR)
        ax.set(xlim=(-end, end), ylim=(-end, end))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([tick for tick in (-10, -1, -0.1, 0, 0.1, 1, 10) if abs(tick) < end])
            axis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
            axis.set_minor_locator(NullLocator())
        ax.fill_between([-end, 0], 0, end, color="0.9", linewidth=0)
        ax.fill_between([0, end], -end, 0, color="0.9", linewidth=0)
        ax.plot([-end, end], [-end, end], color="0.3", linestyle="--")
        for kind, (predicted, measured) in of_panel.items():
            ax.plot(predicted, measured, **_look(kinds.index(kind)))
        ax.set(title=name, xlabel=axes[0], ylabel=axes[1])
    points = [Line2D([], [], **_look(index), label=kind) for index, kind in enumerate(kinds)]
    dashed = Line2D([], [], color="0.3", linestyle="--", label="equal")
    finish(figure, [*points, dashed, Patch(facecolor="0.9", linewidth=0, label="signs differ")], title)
    write(path, figure)


def _look(index):
    marker = {"marker": MARKERS[index % len(MARKERS)], "markersize": 2.5, "markeredgewidth": 0}
    return {"linestyle": "", "color": colour(index), "alpha": 0.6, **marker}
