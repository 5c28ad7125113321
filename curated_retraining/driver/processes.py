"""Several processes that run as one, a host each: what one of them finds, all of them know."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

LONGEST = 1000  # bytes of an error that others are told

T = TypeVar("T")


class RunError(Exception):
    """A run that cannot start or go on: one line with the cause and the remedy."""


def several() -> bool:
    """Whether there are other processes."""
    return jax.process_count() > 1


def first() -> bool:
    """Whether this is the process that writes what is written once."""
    return jax.process_index() == 0


def together(action: Callable[[], T]) -> T:
    """What `action` returns here; where it is a `RunError` in one process, it is one in all."""
    if not several():
        return action()
    said, result = "", None
    try:
        result = action()
    except RunError as error:
        said = str(error) or "a run failed"
    told = np.frombuffer(said.encode()[:LONGEST].ljust(LONGEST, b"\0"), np.uint8)
    for each in np.asarray(multihost_utils.process_allgather(told)):
        if each.any():
            raise RunError(each.tobytes().rstrip(b"\0").decode(errors="ignore"))
    return result  # pyright: ignore[reportReturnType]


def by_first(action: Callable[[], None]) -> None:
    """Lets the first process alone do it, while the others wait; a `RunError` of it is one in all."""
    together(action if first() else lambda: None)


def largest(values: Any) -> np.ndarray:
    """`values`, one or an array, each as the process has it in which it is largest."""
    values = np.asarray(values)
    return np.asarray(multihost_utils.process_allgather(values)).max(axis=0) if several() else values


def whole(array: Any) -> np.ndarray:
    """All of an array, in every process; all of them must ask for it."""
    if several() and isinstance(array, jax.Array) and not array.is_fully_replicated:
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)
