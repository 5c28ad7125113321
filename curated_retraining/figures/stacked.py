"""Class shares stacked over generations, with the mean reward below."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from curated_retraining.figures.style import (
    STYLE,
    WIDTH,
    FilePath,
    finish,
    label_along,
    over_seeds,
    require_rows,
    write,
)

# Found by search for areas: under normal sight and simulated protan-, deuteran- and tritanopia (Machado et al. 2009) no
# two of the ten are nearer than 17 in CIELAB, and no neighbours, the last and the first included, nearer than 50.
AREAS = (
    *("#D55E00", "#56B4E9", "#661100", "#DDDDDD", "#332288"),
    *("#CC6677", "#F0E442", "#882255", "#F8B98A", "#0072B2"),
)
_HATCHES = ("", "////", "....", "xxxx")  # one for each further ten
_RANGE = {"facecolor": "black", "alpha": 0.25, "linewidth": 0}
_MEASURED = {"color": "0.6", "linewidth": 1.8, "marker": "o", "markeredgecolor": "0.3", "markerfacecolor": "0.3"}
_PREDICTED = {"color": "black", "linestyle": "--", "linewidth": 0.8, "zorder": 3}
_OVER_AREAS = [withStroke(linewidth=1.8, foreground="white", alpha=0.8)]


@matplotlib.rc_context(STYLE)
def stacked_shares(
    path: FilePath,
    share: np.ndarray,
    reward: np.ndarray,
    *,
    rows: Sequence[str],
    names: Sequence[str],
    predicted_share: np.ndarray | None = None,
    predicted_reward: np.ndarray | None = None,
    liked: int | None = None,
    theory: str = "forecast from generation 0",
    reward_label: str = "mean reward E[r]",
    title: str = "",
) -> None:
    """Writes, for each row side by side, the class shares stacked and, below, the mean reward.

    `share` `[rows, seeds, generations, classes]` and `reward` `[rows, seeds, generations]` are shown as means over
    seeds, with the range of each boundary and of the reward in grey; `predicted_share` `[rows, generations, classes]`
    and `predicted_reward` `[rows, generations]` are dashed on top, and `theory` is what the legend calls them. `liked`
    is the class that the reward likes, if it is one: it lies at the bottom, where its share can be read off.

    Raises:
        ValueError: where shapes disagree, shares do not sum to one, there is one generation, or no class is `liked`.
    """
    require_rows(rows, share=share, reward=reward, predicted_share=predicted_share, predicted_reward=predicted_reward)
    seeds, num = _require_courses(share, reward, predicted_share, predicted_reward)
    if len(names) != share.shape[3]:
        raise ValueError(f"{len(names)} names for {share.shape[3]} classes")
    if liked is not None and liked not in range(len(names)):
        raise ValueError(f"liked = {liked} is none of {len(names)} classes: give an index from 0, or None")
    order = sorted(range(len(names)), key=lambda label: label != liked)
    width = float(np.clip(WIDTH / len(rows), 1.8, 3.6))
    figure = Figure((width * len(rows), 3.3), layout=ConstrainedLayoutEngine(h_pad=0.03))
    axes = figure.subplots(2, len(rows), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    for row, (upper, lower) in enumerate(axes.T):
        predicted = None if predicted_share is None else predicted_share[row][:, order]
        _stack(upper, share[row][..., order], predicted)
        upper.set(title=rows[row], xlim=(0, num - 1), ylim=(0, 1))
        _course(lower, reward[row], None if predicted_reward is None else predicted_reward[row])
        label_along(lower)
    axes[0, 0].set_ylabel("share of samples")
    axes[1, 0].set_ylabel(reward_label)
    figure.align_ylabels()
    stacked = [names[label] + (" (liked)" if label == liked else "") for label in order]
    dashed = predicted_share is not None or predicted_reward is not None
    finish(figure, [*_area_legend(stacked), *_course_legend(seeds, theory if dashed else "")], title)
    figure.draw_without_rendering()  # only then are the sizes of the areas known
    for row, ax in enumerate(axes[0]):
        mean = share[row].mean(axis=0)[:, order]
        _name_areas(ax, mean, [names[label] for label in order], bold=liked is not None)
    write(path, figure)


def _stack(ax: Axes, share, predicted):
    """Draws areas of `share` `[seeds, generations, classes]` and, dashed, the borders of `predicted`."""
    top = np.cumsum(share, axis=2)
    mean = np.pad(top.mean(axis=0), ((0, 0), (1, 0)))
    generation = np.arange(len(mean))
    for index in range(share.shape[2]):
        ax.fill_between(generation, mean[:, index], mean[:, index + 1], **_area(index))
    for index in range(share.shape[2] - 1):
        ax.fill_between(generation, top[..., index].min(axis=0), top[..., index].max(axis=0), **_RANGE)
    ax.plot(generation, mean[:, 1:-1], color="white", linewidth=0.6)
    if predicted is not None:
        ax.plot(generation, np.cumsum(predicted, axis=1)[:, :-1], **_PREDICTED, path_effects=_OVER_AREAS)


def _course(ax: Axes, runs, predicted):
    """Draws the mean and the range of `runs` `[seeds, generations]` and, dashed, `predicted` `[generations]`."""
    generation = np.arange(runs.shape[1])
    ax.fill_between(generation, runs.min(axis=0), runs.max(axis=0), **_RANGE)
    ax.plot(generation, runs.mean(axis=0), **_MEASURED, markevery=max(1, len(generation) // 10), clip_on=False)
    if predicted is not None:
        ax.plot(generation, predicted, **_PREDICTED)


def _name_areas(ax: Axes, share, names, bold):
    """Writes names into the areas of `share` `[generations, classes]`, near the middle, where there is room.

    The layout must be final: sizes of text are compared with those of the panel.
    """
    fine = np.linspace(0, len(share) - 1, 401)
    tops = np.cumsum(np.pad(share, ((0, 0), (1, 0))), axis=1)
    edges = np.stack([np.interp(fine, np.arange(len(share)), top) for top in tops.T])
    for index, name in enumerate(names):
        face = AREAS[index % len(AREAS)]
        shade = "black" if np.dot(to_rgb(face), (0.299, 0.587, 0.114)) > 0.5 else "white"
        look = {"size": 6, "color": shade, "weight": "bold" if bold and index == 0 else "normal", "zorder": 4}
        around = [withStroke(linewidth=1.8, foreground=face)]
        text = ax.text(0, 0, name, **look, ha="center", va="center", path_effects=around)
        box = text.get_window_extent()
        least = (box.height + 2) / ax.bbox.height
        points = int(np.ceil((box.width + 8) / ax.bbox.width * len(fine)))
        if points > len(fine):
            text.remove()
            continue
        low, high = np.lib.stride_tricks.sliding_window_view(edges[index : index + 2], points, axis=1)
        low, high = low.max(axis=1), high.min(axis=1)  # of the rectangle that fits at each place
        room = np.flatnonzero(high - low >= max(least, 0.8 * (high - low).max()))
        if len(room):
            start = room[np.abs(room - len(low) // 2).argmin()]
            text.set(x=fine[start + points // 2], y=(low[start] + high[start]) / 2)
        else:
            text.remove()


def _area(index):
    return {
        "facecolor": AREAS[index % len(AREAS)],
        "hatch": _HATCHES[index // len(AREAS) % len(_HATCHES)],
        "edgecolor": "white",
        "linewidth": 0,
    }


def _area_legend(names):
    return [Patch(**_area(index), label=name) for index, name in enumerate(names)]


def _course_legend(seeds, theory):
    entries: list = [Line2D([], [], **_MEASURED, label=over_seeds(seeds, "mean"))]
    if seeds > 1:
        entries.append(Patch(**_RANGE, label="range over seeds"))
    return [*entries, *([Line2D([], [], **_PREDICTED, label=theory)] if theory else [])]


def _require_courses(share, reward, predicted_share, predicted_reward):
    """Refuses shapes that disagree and shares that do not fill the panel; returns the numbers of seeds, generations."""
    if share.ndim != 4 or share.shape[2] < 2:
        raise ValueError(f"share has the shape {share.shape}: give [rows, seeds, at least two generations, classes]")
    rows, seeds, num, classes = share.shape
    _require_shapes((rows, seeds, num), reward=reward)
    _require_shapes((rows, num, classes), predicted_share=predicted_share)
    _require_shapes((rows, num), predicted_reward=predicted_reward)
    for name, shares in (("share", share), ("predicted_share", predicted_share)):
        total = np.ones(1) if shares is None else shares.sum(axis=-1).ravel()
        worst = total[np.abs(total - 1).argmax()]  # the first that is not a number, if there is one
        if not abs(worst - 1) < 1e-3:
            raise ValueError(f"{name} sums over classes to {worst:.4g}: give every class, so that it sums to 1")
    return seeds, num


def _require_shapes(shape, **arrays):
    for name, values in arrays.items():
        if values is not None and np.shape(values) != shape:
            raise ValueError(f"{name} has the shape {np.shape(values)}: give {shape}")
