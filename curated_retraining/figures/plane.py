"""Densities in the plane, generation by generation, as a sheet of panels and as an animation."""

import textwrap
from collections.abc import Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from curated_retraining.figures.density import MASS, draw_axis, draw_density, draw_region, reward_levels, smoothed
from curated_retraining.figures.style import (
    COLOURS,
    STYLE,
    WIDTH,
    Extent,
    FilePath,
    finish,
    panels,
    publish,
    require_rows,
    write,
)


@matplotlib.rc_context(STYLE)
def densities(
    path: FilePath,
    points: np.ndarray,
    *,
    rows: Sequence[str],
    extent: Extent,
    reward: np.ndarray,
    limit: np.ndarray,
    p_0: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Writes the density of each generation, a row a setting, beside the predicted limit.

    `points` `[rows, generations, n, 2]`; `reward` and the density of the data `p_0` `[h, w]` and `limit` `[rows, h, w]`
    hold values at `linspace(x0, x1, w)` by `linspace(y0, y1, h)`. Dashed: the smallest region with 90 % of the mass of
    `limit`, over the last generation, and of `p_0`, over the first.
    """
    require_rows(rows, points=points, limit=limit)
    columns = points.shape[1] + 1
    width = float(np.clip((WIDTH - 1.5) / columns, 0.55, 1.6))  # inches, of a panel
    height = width * (extent[3] - extent[2]) / (extent[1] - extent[0])
    layout = ConstrainedLayoutEngine(compress=True, w_pad=0.015, h_pad=0.02, wspace=0, hspace=0)
    figure = Figure((width * columns + 1.5, (height + 0.1) * len(rows) + 0.8), layout=layout)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, line in enumerate(axes):
        shown = [smoothed(sample, extent, reward.shape) for sample in points[row]]
        norm = PowerNorm(0.5, vmin=0, vmax=max(density.max() for density in shown))
        images = [
            draw_density(ax, density, norm, extent, reward)
            for ax, density in zip(line, [*shown, limit[row]], strict=True)
        ]
        if p_0 is not None:
            draw_region(line[0], p_0, extent)
        draw_region(line[-2], limit[row], extent)
        line[-1].spines[:].set(edgecolor=COLOURS[1], linestyle="--", linewidth=0.9)
        _colour_bar(line[-1], images[-1])
        draw_axis(line[0].yaxis, "$x_2$", *extent[2:])
        _row_title(line[0], rows[row], height)
    for generation, ax in enumerate(axes[0, :-1]):
        ax.set_title(f"t = {generation}" if generation else "t = 0\n(real-data fit)")
    axes[0, -1].set_title("predicted\nlimit", color=COLOURS[1])
    for ax in axes[-1]:
        draw_axis(ax.xaxis, "$x_1$", *extent[:2])
    regions = "limit at the last t" if p_0 is None else "data at t = 0, limit at the last t"
    finish(figure, _plane_legend(reward, f"{MASS:.0%} of the mass: {regions}"), title)
    write(path, figure)


@matplotlib.rc_context(STYLE)
def animation(
    path: FilePath,
    points: np.ndarray,
    *,
    rows: Sequence[str],
    extent: Extent,
    reward: np.ndarray,
    exact: np.ndarray | None = None,
    top_mass: np.ndarray | None = None,
) -> None:
    """Writes a GIF of the densities, a panel a row and a frame a generation; arguments as of `densities`.

    `exact` `[rows, generations, h, w]` are predicted densities, drawn as dashed regions; `top_mass`
    `[rows, generations]` is the share of samples in the top reward set, printed above each panel.
    """
    require_rows(rows, points=points, exact=exact, top_mass=top_mass)
    shown = [[smoothed(sample, extent, reward.shape) for sample in row] for row in points]
    figure, axes = panels(len(rows), (3, 3 * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.4))
    images, regions = [], []
    for row, ax in enumerate(axes):
        norm = PowerNorm(0.5, vmin=0, vmax=max(density.max() for density in shown[row]))
        images.append(draw_density(ax, shown[row][0], norm, extent, reward))
        regions.append([] if exact is None else [draw_region(ax, density, extent) for density in exact[row]])
        draw_axis(ax.xaxis, "$x_1$", *extent[:2])
        draw_axis(ax.yaxis, "$x_2$", *extent[2:])
    finish(figure, _plane_legend(reward, exact is not None and f"{MASS:.0%} of the predicted mass"))

    def draw(generation):
        figure.suptitle(f"generation t = {generation}", weight="bold")
        for row, ax in enumerate(axes):
            share = "" if top_mass is None else f"\ntop reward set: {top_mass[row, generation]:.0%} of samples"
            ax.set_title(rows[row] + share)
            images[row].set_data(shown[row][generation])
            for index, region in enumerate(regions[row]):
                region.set_visible(index == generation)

    publish(path, partial(_film, figure, draw, points.shape[1]))


def _plane_legend(reward, dashed):
    """Entries for the lines of a panel; `dashed` says what its regions are, if it has any."""
    lines = {}
    if reward.min() < reward.max():
        top, *lower = (
            f"{level + 0.0:.3g}".replace("-", "−") for level in (reward.max(), *reward_levels(reward)[0][::-1])
        )
        lines[f"top reward set, r = {top}"] = {"color": COLOURS[2], "linewidth": 0.8}
        lines[f"reward r = {', '.join(lower)}"] = {"color": "0.5", "linewidth": 0.4}
    if dashed:
        lines[dashed] = {"color": COLOURS[0], "linestyle": "--"}
    return [Line2D([], [], label=label, **look) for label, look in lines.items()]


def _colour_bar(ax: Axes, image):
    """Draws the scale of `image` right of its panel, as high as the panel; a tip says that values go beyond."""
    beside = ax.inset_axes((1.06, 0, 0.08, 1))
    extend = "max" if image.get_array().max() > image.norm.vmax else "neither"
    bar = ax.figure.colorbar(image, cax=beside, extend=extend)
    bar.set_label("density\n(power scale)", size=6)
    bar.locator = MaxNLocator(3)


def _row_title(ax: Axes, text, height):
    """Writes the name of a row left of its first panel, wrapped to its height in inches."""
    tied = text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    lines = textwrap.fill(tied, int(height * 72 / 4), break_long_words=False)
    place = {"xy": (0, 0.5), "xytext": (-3, 0), "xycoords": ax.yaxis.label, "textcoords": "offset points"}
    ax.annotate(lines, **place, rotation=90, ha="right", va="center", ma="center", weight="bold")


def _film(figure: Figure, draw, num, target):
    """Writes a GIF of `draw(0)` to `draw(num - 1)`, the last of which stays longer."""
    draw(0)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # panels stand still
    writer = PillowWriter(fps=2)
    writer.setup(figure, target, dpi=100)
    for generation in [*range(num), num - 1, num - 1, num - 1]:  # equal frames become one
        draw(generation)
        writer.grab_frame()
    writer.finish()
