"""Distributions in the plane whose density is known."""

from collections.abc import Callable
from typing import NamedTuple

from curated_retraining.types import Array, Dataset, PRNGKey


class Target(NamedTuple):
    """What an experiment needs to know of its real data."""

    draw: Callable[[PRNGKey, int], Dataset]
    log_density: Callable[[Array], Array]  # [n, 2] -> [n]
    label: Callable[[Array], Array]  # the class of each point, [n] integers
    names: tuple[str, ...]  # of the classes
    extent: tuple[float, float, float, float]  # limits in x, then in y, that hold the mass
    liked: tuple[float, float]  # the point that reward `distance` likes by default
    r_min: float  # the radius within which it is at its best by default
