"""Pictures of single generations, a file each, for a reader who turns them over one by one."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import imsave

from curated_retraining.figures.density import MASS, draw_axis, draw_density, draw_region, smoothed
from curated_retraining.figures.images import grid
from curated_retraining.figures.style import STYLE, Extent, FilePath, publish, require_rows

MOST = 24  # generations that are drawn, evenly spaced, the first and last included
CAPTION = (
    f"The darker, the denser (square roots, on one scale for all generations of a row). Dashed, {MASS:.0%} of the "
    "exact mass; green, the edge of the top reward set; grey, lower rewards."
)


@matplotlib.rc_context(STYLE)
def density_frames(
    folder: FilePath,
    points: np.ndarray,
    *,
    rows: Sequence[str],
    extent: Extent,
    reward: np.ndarray,
    exact: np.ndarray,
) -> None:
    """Writes `folder/ROW/t=0000.png`, ... of densities; `points`, `reward`, `exact` as of `animation`.

    `rows` name folders; `caption.txt` says what is drawn, and is written last.
    """
    require_rows(rows, points=points, exact=exact)
    for row, name in enumerate(rows):
        times = _times(points.shape[1])
        shown = [smoothed(points[row, t], extent, reward.shape) for t in times]
        norm = PowerNorm(0.5, vmin=0, vmax=max(density.max() for density in shown))
        figure = Figure((3.2, 0.25 + 3.0 * (extent[3] - extent[2]) / (extent[1] - extent[0])), layout="constrained")
        ax = figure.subplots()
        image = draw_density(ax, shown[0], norm, extent, reward)
        draw_axis(ax.xaxis, "$x_1$", *extent[:2])
        draw_axis(ax.yaxis, "$x_2$", *extent[2:])
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # panels stand still
        for t, density in zip(times, shown, strict=True):
            image.set_data(density)
            lines = draw_region(ax, exact[row, t], extent)
            publish(_file(folder, name, t), partial(figure.savefig, dpi=110))
            lines.remove()
    _tell(folder, CAPTION)


def sample_frames(folder: FilePath, images: np.ndarray, *, rows: Sequence[str]) -> None:
    """Writes the same of grids of samples; `images` as of `sample_grids`, a pixel a pixel."""
    require_rows(rows, images=images)
    for row, name in enumerate(rows):
        for t in _times(images.shape[1]):
            publish(_file(folder, name, t), partial(imsave, arr=grid(images[row, t], fine=1), format="png"))
    _tell(folder, "Samples of the first seed; each place of the grid has the same noise in all generations.")


def _times(num: int) -> list[int]:
    return np.unique(np.linspace(0, num - 1, min(MOST, num)).round().astype(int)).tolist()


def _file(folder: FilePath, row: str, t: int) -> Path:
    path = Path(folder) / row / f"t={t:04d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _tell(folder: FilePath, caption: str) -> None:
    publish(Path(folder) / "caption.txt", lambda path: path.write_text(caption + "\n", encoding="utf-8"))
