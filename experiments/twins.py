"""The courses that a run is compared with, as tables beside its own: what `experiments.report` reads."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from curated_retraining.driver import Cells, table, write

EXACT, FORETOLD = "exact.csv", "foretold.csv"  # of a learner without fault, and of a forecast from generation 0


def leave(folder: Path, course: Mapping[str, np.ndarray], cells: Cells, name: str = EXACT) -> None:
    """Writes `course` beside `metrics.csv`, in its columns: `[cells, generations + 1]` a metric, or a vector each.

    `cells` are those that `drive` had in this folder, or `over_seeds` of them where all seeds have the same course.

    Raises:
        ValueError: where there is not one course a cell.
    """
    for metric, values in course.items():
        if len(values) != len(cells):
            raise ValueError(f"{len(values)} courses of {metric} for {len(cells)} cells: give one each")
    by_generation = {metric: np.moveaxis(np.asarray(values), 0, 1) for metric, values in course.items()}
    write(folder / name, table(by_generation, cells))


def over_seeds(cells: Cells) -> Cells:
    """The cells without their seed, each once."""
    bare = [{name: value for name, value in cell.items() if name != "seed"} for cell in cells]
    return [cell for index, cell in enumerate(bare) if cell not in bare[:index]]
