"""Numbers that were measured with several seeds."""

import numpy as np


def by_row(values: np.ndarray, rows: int) -> np.ndarray:
    """`[generations, rows × seeds, ...]` as `[rows, seeds, generations, ...]`."""
    cells = np.moveaxis(values, 0, 1)
    return cells.reshape(rows, -1, *cells.shape[1:])


def standard_error(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """That of the mean over seeds, which lie along `axis`; NaN for one seed."""
    seeds = values.shape[axis]
    if seeds == 1:
        return np.full(np.delete(values.shape, axis), np.nan)
    return values.std(axis=axis, ddof=1) / np.sqrt(seeds)
