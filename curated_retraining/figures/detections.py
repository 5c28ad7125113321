"""Detections of curation: estimates against the truth, and rewards before and after beside what was fitted."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from curated_retraining.figures.style import MARKERS, STYLE, FilePath, colour, finish, panels, require_rows, write


class Estimates(NamedTuple):
    """Estimates of one number, `[rows, truths, seeds]` each, at its true values `[truths]`."""

    truth: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: Sequence[str]  # what else was true
    logarithmic: bool


@matplotlib.rc_context(STYLE)
def estimates(path: FilePath, found: Mapping[str, Estimates], *, band: str, title: str = "") -> None:
    """Writes a panel a number, by its name: estimates with intervals beside the dashed truth, a colour a row.

    A bar that leaves a panel has no end there. `band` is what the legend calls the bars.
    """
    figure, axes = panels(len(found), (3.4, 2.6))
    for ax, (name, one) in zip(axes, found.items(), strict=True):
        require_rows(one.rows, value=one.value, low=one.low, high=one.high)
        num, seeds = len(one.rows), one.value.shape[2]
        place = (np.arange(num * seeds) - (num * seeds - 1) / 2).reshape(num, 1, seeds) * (0.7 / (num * seeds))
        gap = np.diff(np.log(one.truth) if one.logarithmic else one.truth).min(initial=1.0)
        truth = one.truth[None, :, None]
        at = truth * np.exp(place * gap) if one.logarithmic else truth + place * gap
        edge = (one.truth.min() / 3, one.truth.max() * 4) if one.logarithmic else (-0.03, 1.03)
        for row in range(num):
            look: dict[str, Any] = {"color": colour(row), "marker": MARKERS[row % len(MARKERS)]}
            ends = (np.clip(end[row].ravel(), edge[0] / 2, edge[1] * 2) for end in (one.low, one.high))
            ax.vlines(at[row].ravel(), *ends, color=(look["color"], 0.5), linewidth=min(1.6, 40 / one.value.size + 0.5))
            ax.plot(at[row].ravel(), one.value[row].ravel(), linestyle="", markersize=2.6, **look, label=one.rows[row])
        for x in one.truth:
            ends = (
                (x * np.exp(-0.42 * gap), x * np.exp(0.42 * gap))
                if one.logarithmic
                else (x - 0.42 * gap, x + 0.42 * gap)
            )
            ax.plot(ends, (x, x), color="0.2", linestyle="--", zorder=3)
        ax.set(xlabel=f"true {name}", ylabel=f"estimated {name}", ylim=edge)
        if one.logarithmic:
            ax.set(xscale="log", yscale="log")
            ticks = 2.0 ** np.arange(np.floor(np.log2(edge[0])), np.ceil(np.log2(edge[1])) + 1)
            ax.yaxis.set_major_locator(FixedLocator(ticks.tolist()))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_locator(FixedLocator(one.truth.tolist()))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        ax.legend(loc="upper left", handletextpad=0.2)
    grey: dict[str, Any] = {"color": "0.6", "marker": "o", "markeredgecolor": "0.3", "markerfacecolor": "0.3"}
    legend = [Line2D([], [], **grey, label=f"a simulated loop, with its {band}")]
    finish(figure, [*legend, Line2D([], [], color="0.2", linestyle="--", label="truth")], title)
    write(path, figure)


@matplotlib.rc_context(STYLE)
def fitted(
    path: FilePath,
    samples: Mapping[str, np.ndarray],
    fit: tuple[np.ndarray, np.ndarray],
    *,
    label: str = "reward",
    title: str = "",
) -> None:
    """Writes the share of `samples` `[n]` up to each reward, and dashed that of `fit`, rewards and weights `[s]`."""
    figure, (ax,) = panels(1, (4.2, 2.6))
    for index, (name, values) in enumerate(samples.items()):
        ax.step(
            np.sort(values), (np.arange(len(values)) + 1) / len(values), color=colour(index), label=name, where="post"
        )
    order = np.argsort(fit[0])
    ax.plot(fit[0][order], np.cumsum(fit[1][order]), color="black", linestyle="--", label="fitted to generation t + 1")
    ax.set(xlabel=label, ylabel="share of samples up to it", ylim=(-0.02, 1.02))
    finish(figure, ax.get_legend_handles_labels()[0], title)
    write(path, figure)
