"""Pictures of images: groups of candidates with the kept one framed, and samples generation by generation."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from curated_retraining.figures.style import COLOURS, STYLE, WIDTH, FilePath, finish, require_rows, write

_SHOWN = 6  # generations of a sample grid, at most
_FINE = 128  # pixels of an image in a sample grid, at least: more than are printed, so that small images stay crisp


@matplotlib.rc_context(STYLE)
def curation(
    path: FilePath,
    candidates: np.ndarray,
    reward: np.ndarray,
    kept: np.ndarray,
    *,
    columns: int = 1,
    reward_label: str = "reward r",
    title: str = "",
) -> None:
    """Writes groups of candidates, one a line in each of `columns`, with their rewards; the kept ones are framed.

    `candidates` `[groups, k, h, w, c]` uint8, grey where c = 1; `reward` `[groups, k]`; `kept` `[groups]` are the
    indices of those that were chosen.

    Raises:
        ValueError: where shapes disagree, images are not uint8 with one or three channels, `kept` is no candidate, or
            there are fewer groups than columns.
    """
    _require_images("candidates", candidates, "[groups, k, h, w, c]")
    groups, k, h, w, _ = candidates.shape
    if reward.shape != (groups, k):
        raise ValueError(f"reward has the shape {reward.shape}: give one of each candidate, {(groups, k)}")
    if kept.shape != (groups,) or not np.isin(kept, np.arange(k)).all():
        raise ValueError(f"kept = {kept.tolist()}: give an index from 0 to {k - 1} for each of {groups} groups")
    if not 1 <= columns <= groups:
        raise ValueError(f"columns = {columns}: give a number from 1 to the {groups} groups")
    lines = -(-groups // columns)
    size = float(np.clip(WIDTH / (1.08 * k * columns + 0.5 * (columns - 1)), 0.4, 0.9))  # inches, of an image's width
    step_x, step_y = 1.08, h / w + 0.2 / size  # from image to image, in widths; room for a number
    wide, high = columns * (step_x * k + 0.5) - 0.5, lines * step_y
    figure = Figure((wide * size, high * size), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02))
    ax = figure.subplots()
    for group in range(groups):
        for index in range(k):
            x = group // lines * (step_x * k + 0.5) + index * step_x
            y = group % lines * step_y
            _candidate(ax, candidates[group, index], reward[group, index], index == kept[group], (x, y), size)
    ax.set(xlim=(-0.04, wide - 0.04), ylim=(high - 0.04, -0.04), aspect="equal")
    ax.set_axis_off()
    frame = Patch(facecolor="none", edgecolor=COLOURS[1], linewidth=1.8, label=f"kept of K = {k}")
    number = {"marker": "$0.00$", "markersize": 11, "color": "0.2", "markeredgewidth": 0}
    finish(figure, [frame, Line2D([], [], linestyle="", **number, label=reward_label)], title)
    write(path, figure)


@matplotlib.rc_context(STYLE)
def sample_grids(path: FilePath, images: np.ndarray, *, rows: Sequence[str], title: str = "") -> None:
    """Writes a grid of samples for each row and for up to six generations, evenly spaced, the first and last included.

    `images` `[rows, generations, n, h, w, c]` uint8, grey where c = 1. Where all generations have the same noise, each
    place of the grid shows one image drift.

    Raises:
        ValueError: where there is not one title a row, or images are not uint8 with one or three channels.
    """
    require_rows(rows, images=images)
    _require_images("images", images, "[rows, generations, n, h, w, c]")
    last = images.shape[1] - 1
    shown = np.unique(np.linspace(0, last, min(_SHOWN, last + 1)).round().astype(int))
    grids = [[grid(images[row, generation]) for generation in shown] for row in range(len(rows))]
    width = float(np.clip(WIDTH / len(shown), 1.0, 2.4))  # inches, of a panel
    height = width * grids[0][0].shape[0] / grids[0][0].shape[1]
    layout = ConstrainedLayoutEngine(compress=True, w_pad=0.035, h_pad=0.035, wspace=0, hspace=0)
    figure = Figure((width * len(shown) + 0.3, height * len(rows) + 0.2), layout=layout)
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for row, line in enumerate(axes):
        for ax, picture in zip(line, grids[row], strict=True):
            ax.imshow(picture)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        tied = rows[row].replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
        line[0].set_ylabel(textwrap.fill(tied, int(height * 72 / 4)), weight="bold")
    for generation, ax in zip(shown, axes[0], strict=True):
        ax.set_title(f"t = {generation}")
    finish(figure, [], title)
    write(path, figure)


def grid(images, fine=_FINE):
    """One picture of `images` `[n, h, w, c]` on white, `fine` pixels an image or more.

    It is near to a square, without empty places where that can be.
    """
    images = np.stack([_colours(image) for image in images])
    times = -(-fine // images.shape[2])
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    num, h, w, _ = images.shape
    root = int(np.ceil(np.sqrt(num)))
    columns = next((columns for columns in range(root, 2 * root) if num % columns == 0), root)
    gap = max(w // 16, 1)
    picture = np.full((-(-num // columns) * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * (h + gap), index % columns * (w + gap)
        picture[y : y + h, x : x + w] = image
    return picture


def _candidate(ax: Axes, image, reward, kept, corner, size):
    """Draws one image, one unit wide and `size` inches, with its reward below and, where kept, a frame outside."""
    x, y = corner
    high = image.shape[0] / image.shape[1]
    ax.imshow(_colours(image), extent=(x, x + 1, y + high, y), interpolation="nearest")
    number = f"{reward:z.2f}".replace("-", "−")
    below: dict[str, Any] = {"xytext": (0, -3.5), "textcoords": "offset points", "ha": "center", "va": "top"}
    below |= {"color": COLOURS[1], "weight": "bold"} if kept else {"color": "0.2"}
    ax.annotate(number, (x + 0.5, y + high), **below)
    if kept:
        out = 0.9 / 72 / size
        frame = Rectangle((x - out, y - out), 1 + 2 * out, high + 2 * out, fill=False, clip_on=False)
        frame.set(edgecolor=COLOURS[1], linewidth=1.8)
        ax.add_patch(frame)


def _colours(image):
    """An image `[h, w, 1 or 3]` with three channels."""
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _require_images(name, images, shape):
    if images.dtype != np.uint8:
        raise ValueError(f"{name} are {images.dtype}: give uint8 from 0 to 255")
    if images.ndim != shape.count(",") + 1 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(f"{name} have the shape {images.shape}: give {shape} with c = 1 or 3, none of them empty")
