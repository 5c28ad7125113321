"""Phase diagrams: heat maps of several quantities over two positive hyper-parameters, both on logarithmic axes."""

from collections.abc import Collection, Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from curated_retraining.figures.style import STYLE, FilePath, finish, panels, title_of, write

_MAP = matplotlib.colormaps["viridis"]  # perceptually uniform, and told apart without red and green
_HATCHES = ("////", "xxxx", "....")
_DASHED = {"color": "black", "linestyle": "--", "linewidth": 1.2}
_DASHED_EDGE = [withStroke(linewidth=2.6, foreground="white")]
_HALO = [withStroke(linewidth=2.2, foreground="white")]
_CIRCLE = {"marker": "o", "markersize": 5.5, "markeredgecolor": "black", "markeredgewidth": 0.8, "path_effects": _HALO}


@matplotlib.rc_context(STYLE)
def heat_maps(
    path: FilePath,
    values: Mapping[str, np.ndarray],
    *,
    x: np.ndarray,
    y: np.ndarray,
    axes: tuple[str, str],
    labels: Mapping[str, str] | None = None,
    logarithmic: Collection[str] = (),
    missing: Mapping[str, str] | None = None,
    line: tuple[np.ndarray, np.ndarray] | None = None,
    line_label: str = "",
    circles: Mapping[str, np.ndarray] | None = None,
    at: tuple[np.ndarray, np.ndarray] | None = None,
    circles_label: str = "",
    hollow_label: str = "not a number",
    title: str = "",
) -> None:
    """Writes a heat map a quantity, `values` `[h, w]` in cells around `x` `[w]` and `y` `[h]`, and a dashed `line`.

    Cells that are not numbers are hatched, and the legend says with `missing` what that means; `logarithmic` names the
    quantities with a logarithmic colour scale, where they range over more than a factor of four. `circles` `[n]` by
    name are values measured at `at`, x and y `[n]`, filled by the scale of the map under them, or hollow where not a
    number. A line that leaves the map is cut, and one outside left out.
    """
    for name, cells in values.items():
        if cells.shape != (len(y), len(x)):
            raise ValueError(f"{name} has the shape {cells.shape} for {len(y)} by {len(x)} cells")
    missing, circles = missing or {}, circles or {}
    lacking = [missing.get(name, "not a number") for name, cells in values.items() if np.isnan(cells).any()]
    hatch = dict(zip(dict.fromkeys(lacking), _HATCHES, strict=False))
    x_edges, y_edges = _edges(x), _edges(y)
    crosses = line is not None and _inside(line[0], x_edges) & _inside(line[1], y_edges)
    figure, all_axes = panels(len(values), (2.4, 2.0))
    for ax, (name, cells) in zip(all_axes, values.items(), strict=True):
        filled = circles.get(name)
        norm = _norm(cells, filled, name in logarithmic)
        if np.isnan(cells).any():
            ax.patch.set(hatch=hatch[missing.get(name, "not a number")], facecolor="0.93", edgecolor="0.6", linewidth=0)
        if norm is not None:
            mesh = ax.pcolormesh(x_edges, y_edges, np.ma.masked_invalid(cells), cmap=_MAP, norm=norm, rasterized=True)
            _colour_bar(ax, mesh)
        ax.set(xscale="log", yscale="log", title=title_of(name, labels))
        ax.set(xlim=(x_edges[0], x_edges[-1]), ylim=(y_edges[0], y_edges[-1]))
        if line is not None and np.any(crosses):
            ax.plot(*line, **_DASHED, path_effects=_DASHED_EDGE)
        if filled is not None and at is not None:
            _circles(ax, at, filled, norm)
        _axis(ax.xaxis, axes[0], x_edges)
        _axis(ax.yaxis, axes[1], y_edges)
    legend: list = []
    if np.any(crosses):
        legend.append(Line2D([], [], **_DASHED, path_effects=_DASHED_EDGE, label=line_label))
    if circles:
        legend.append(Line2D([], [], linestyle="", **_CIRCLE, markerfacecolor=_MAP(0.6), label=circles_label))
    if any(np.isnan(filled).any() for filled in circles.values()):
        legend.append(Line2D([], [], linestyle="", **_CIRCLE, markerfacecolor="none", label=hollow_label))
    legend += [
        Patch(hatch=look, facecolor="0.93", edgecolor="0.6", linewidth=0, label=meaning)
        for meaning, look in hatch.items()
    ]
    finish(figure, legend, title)
    write(path, figure)


def _norm(cells, filled, logarithmic):
    """The colour scale of a map and the circles on it; none where there is no number."""
    shown = cells.ravel() if filled is None else np.concatenate([cells.ravel(), filled])
    shown = shown[np.isfinite(shown) & ((shown > 0) | (not logarithmic))]
    if not len(shown):
        return None
    low, high = shown.min(), shown.max()
    if low == high:
        low, high = low - 0.5, high + 0.5  # a scale needs two ends
    return LogNorm(low, high) if logarithmic and high > 4 * low > 0 else Normalize(low, high)


def _edges(centres):
    """The borders `[n + 1]` of cells around positive `centres` `[n]`, midway on a logarithmic axis."""
    place = np.log(np.asarray(centres, float))
    if len(place) == 1:
        return np.exp(place[0] + np.array([-0.5, 0.5]))
    middle = (place[1:] + place[:-1]) / 2
    return np.exp(np.concatenate([[2 * place[0] - middle[0]], middle, [2 * place[-1] - middle[-1]]]))


def _inside(values, edges):
    return (values >= edges[0]) & (values <= edges[-1])


def _circles(ax: Axes, at, values, norm):
    for x, y, value in zip(*at, values, strict=True):
        face = "none" if norm is None or np.isnan(value) else _MAP(norm(value))
        ax.plot([x], [y], linestyle="", **_CIRCLE, markerfacecolor=face)


def _colour_bar(ax: Axes, mesh):
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=18)
    if isinstance(mesh.norm, LogNorm):
        few = np.log10(mesh.get_clim()[1] / mesh.get_clim()[0]) < 2.5
        _logarithmic(bar.ax.yaxis, LogLocator(subs=(1, 2, 5) if few else (1,)))
    else:
        bar.locator = MaxNLocator(5)
        bar.update_ticks()


def _axis(axis: Axis, label, edges):
    """Labels an axis, with round ticks: powers of two where it spans less than 1.8 decades, else of ten."""
    axis.set_label_text(label)
    _logarithmic(axis, LogLocator(base=2 if np.log10(edges[-1] / edges[0]) < 1.8 else 10))


def _logarithmic(axis: Axis, locator):
    axis.set_major_locator(locator)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
