"""What a figure shows, as tests read it."""

import numpy as np


def texts(figure):
    """The entries of the legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(ax, style):
    """The lines of one style, such as `--`."""
    return [line for line in ax.lines if line.get_linestyle() == style]


def path_of(ax, index=-1):
    """The corners `[n, 2]` of one of the filled or outlined regions, the last by default."""
    return np.concatenate([path.vertices for path in ax.collections[index].get_paths()])


def covered(figure):
    """The panels, with their labels, that the legend covers."""
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    return [ax for ax in figure.axes if legend.overlaps(ax.get_tightbbox())]
