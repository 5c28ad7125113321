"""Parts of pictures of the plane: a density under the level sets of a reward, and regions of its mass."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from curated_retraining.figures.style import COLOURS

MASS = 0.9  # inside a dashed region


def smoothed(sample, extent, shape):
    """The density `[h, w]` of `sample` `[n, 2]`: a histogram on the grid, smoothed by a sixtieth of the wider side."""
    x0, x1, y0, y1 = extent
    sd = max(x1 - x0, y1 - y0) / 60
    y_edges, y_kernel = _smoother(y0, y1, shape[0], sd)
    x_edges, x_kernel = _smoother(x0, x1, shape[1], sd)
    counts, _, _ = np.histogram2d(sample[:, 1], sample[:, 0], bins=(y_edges, x_edges))
    return y_kernel @ counts @ x_kernel.T / len(sample)


def draw_density(ax: Axes, density, norm, extent, reward):
    """Draws a density `[h, w]` under the level sets of the reward, with bare axes."""
    x0, x1, y0, y1 = extent
    dx, dy = (x1 - x0) / (density.shape[1] - 1) / 2, (y1 - y0) / (density.shape[0] - 1) / 2
    cells = (x0 - dx, x1 + dx, y0 - dy, y1 + dy)  # values are those at the centres of pixels
    image = ax.imshow(density, origin="lower", extent=cells, cmap="magma_r", norm=norm, interpolation="bilinear")
    if reward.min() < reward.max():
        lower, edge = reward_levels(reward)
        ax.contour(reward, extent=extent, levels=lower, colors="0.5", linewidths=0.4, linestyles="solid")
        ax.contour(reward, extent=extent, levels=[edge], colors=COLOURS[2], linewidths=0.8, linestyles="solid")
    ax.set(xlim=(x0, x1), ylim=(y0, y1), xticks=[], yticks=[])
    return image


def draw_region(ax: Axes, density, extent):
    """Draws, dashed, the smallest region that holds nine tenths of the mass of `density` `[h, w]`."""
    ordered = np.sort(density, axis=None)[::-1].astype(float)
    mass = np.cumsum(ordered)
    level = ordered[np.searchsorted(mass, MASS * mass[-1])] * (1 - 1e-6)  # just below: a plateau counts as inside
    lines = ax.contour(density, extent=extent, levels=[level], colors=COLOURS[0], linewidths=0.9, linestyles="--")
    lines.set_path_effects([withStroke(linewidth=2, foreground="white", alpha=0.7)])
    return lines


def reward_levels(reward):
    """A few round levels, and the edge of the top level set."""
    low, high = float(reward.min()), float(reward.max())
    edge = high - 1e-3 * (high - low)
    levels = np.asarray(MaxNLocator(4).tick_values(low, high))
    return levels[(levels > low) & (levels < edge)], edge


def draw_axis(axis: Axis, label, low, high):
    """Labels an axis of the plane, with a few round ticks inside its range."""
    ticks = np.asarray(MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high))
    axis.set_label_text(label)
    axis.set_ticks(ticks[(ticks >= low) & (ticks <= high)])


def _smoother(low, high, num, sd):
    """Edges of cells that reach beyond the grid by a margin, and the Gaussian kernel `[num, cells]` back onto it."""
    step = (high - low) / (num - 1)
    margin = int(np.ceil(4 * sd / step))
    cell = np.arange(-margin, num + margin)
    away = np.abs(np.arange(num)[:, None] - cell[None, :])
    kernel = np.where(away <= margin, np.exp(-0.5 * (away * step / sd) ** 2), 0.0)
    edges = low + step * (np.append(cell, num + margin) - 0.5)
    return edges, kernel / (kernel.sum(axis=1, keepdims=True) * step)
