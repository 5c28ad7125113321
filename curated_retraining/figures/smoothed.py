"""The density of a sample in the plane: a histogram, smoothed."""

import numpy as np


def density(sample, extent, shape):
    """The density `[h, w]` of `sample` `[n, 2]`: a histogram on the grid, smoothed by a sixtieth of the wider side."""
    x0, x1, y0, y1 = extent
    sd = max(x1 - x0, y1 - y0) / 60
    y_edges, y_kernel = _smoother(y0, y1, shape[0], sd)
    x_edges, x_kernel = _smoother(x0, x1, shape[1], sd)
    counts, _, _ = np.histogram2d(sample[:, 1], sample[:, 0], bins=(y_edges, x_edges))
    return y_kernel @ counts @ x_kernel.T / len(sample)


def _smoother(low, high, num, sd):
    """Edges of cells that reach beyond the grid by a margin, and the Gaussian kernel `[num, cells]` back onto it."""
    step = (high - low) / (num - 1)
    margin = int(np.ceil(4 * sd / step))
    cell = np.arange(-margin, num + margin)
    away = np.abs(np.arange(num)[:, None] - cell[None, :])
    kernel = np.where(away <= margin, np.exp(-0.5 * (away * step / sd) ** 2), 0.0)
    edges = low + step * (np.append(cell, num + margin) - 0.5)
    return edges, kernel / (kernel.sum(axis=1, keepdims=True) * step)
