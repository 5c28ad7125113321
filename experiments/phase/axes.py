"""The pairs of hyper-parameters that maps go over, and the cells of a map or of the loops trained on it."""

from typing import NamedTuple

import numpy as np

from experiments.phase.exact import Cells

RANGES = {"lam": (0.02, 20.0), "k": (2.0, 64.0), "gamma": (0.5, 50.0), "temperature": (0.1, 10.0)}
NAMES = {"lam": "λ = #curated / #real", "k": "K", "gamma": "γ, scale of the reward", "temperature": "temperature τ"}
SHORT = {"lam": "λ", "k": "K", "gamma": "γ", "temperature": "τ"}
MOST = 1000  # cells along an axis
PAIRS = ("lam,k", "lam,gamma", "temperature,k")


class Grid(NamedTuple):
    """The values along the two axes of a map, and those of all four settings in its cells, `[h, w]`."""

    x: np.ndarray  # [w]
    y: np.ndarray  # [h]
    cells: Cells


def exact_grid(pair: str, num: int, fixed: dict[str, float]) -> Grid:
    """`num` by `num` cells whose centres are even on logarithmic axes, from one end of a range to the other."""
    first, second = pair.split(",")
    return _grid(pair, np.geomspace(*RANGES[first], num), np.geomspace(*RANGES[second], num), fixed)


def trained_grid(pair: str, shape: tuple[int, int], fixed: dict[str, float]) -> Grid:
    """The middles of `shape` even parts of both axes, to two digits; K is a whole number, and none comes twice."""

    def middles(name: str, num: int) -> np.ndarray:
        edges = np.geomspace(*RANGES[name], 2 * num + 1)
        rounded = np.array([float(f"{value:.2g}") for value in edges[1::2]])
        return np.unique(np.round(rounded)) if name == "k" else rounded

    first, second = pair.split(",")
    return _grid(pair, middles(first, shape[0]), middles(second, shape[1]), fixed)


def threshold(pair: str, fixed: dict[str, float]) -> tuple[np.ndarray, np.ndarray] | None:
    """Where λ = 1 / (K − 1): the x and y of a line across the map; none where no K or no λ is on it."""
    along = np.geomspace(1e-3, 1e3, 500)
    if pair == "lam,k":
        k = np.geomspace(1.001, 1e4, 500)
        return 1 / (k - 1), k
    if pair == "lam,gamma":
        return (np.full(500, 1 / (fixed["k"] - 1)), along) if fixed["k"] > 1 else None
    return (along, np.full(500, 1 + 1 / fixed["lam"])) if fixed["lam"] > 0 else None


def _grid(pair: str, x: np.ndarray, y: np.ndarray, fixed: dict[str, float]) -> Grid:
    first, second = pair.split(",")
    across, up = np.meshgrid(x, y)
    everywhere = {name: np.full(across.shape, value) for name, value in fixed.items()}
    return Grid(x, y, Cells(**everywhere | {first: across, second: up}))
