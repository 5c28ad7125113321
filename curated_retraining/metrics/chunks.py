"""Functions of many points, a chunk of them at a time: memory stays bounded."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from curated_retraining.types import Array, floating

CHUNK = 256  # points at a time: 256 × 5,000 distances take 15 MB


def map_chunks(function: Callable[[Any], Any], rows: Any, chunk: int) -> Any:
    """`function` of `chunk` rows at a time, its results put together; all leaves have the same number of rows.

    The last chunk is filled up with zeros, whose results are left out.
    """
    num = jax.tree.leaves(rows)[0].shape[0]
    results = jax.lax.map(function, jax.tree.map(lambda leaf: split(leaf, chunk), rows))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num], results)


def split(rows: Array, chunk: int) -> Array:
    """Rows `[n, ...]` as `[chunks, chunk, ...]`, filled up with zeros."""
    chunk = min(chunk, rows.shape[0])
    missing = -rows.shape[0] % chunk
    filled = jnp.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))
    return filled.reshape(-1, chunk, *rows.shape[1:])


def extract(features: Callable[[Array], Array], x: Array, chunk: int) -> Array:
    """Features `[n, d]` of points `[n, *event]`, in floating point."""
    feature = map_chunks(features, x, checked(chunk))
    if feature.ndim != 2:
        raise ValueError(f"features of shape {feature.shape} for {x.shape[0]} points: return one vector [d] a point")
    return floating(feature)


def checked(chunk: int) -> int:
    """`chunk`, or a `ValueError` where it is less than 1."""
    if chunk < 1:
        raise ValueError(f"chunk={chunk} is no number of points: take 1 or more")
    return chunk


def in_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of arrays, traced with float64 allowed; vmap runs it once for each member, one after another.

    Without that, vmap of a scan would batch the float64 program where float64 is not allowed, and fail; and it bounds
    memory. All that is batched must come as an argument.
    """

    def allowed(*arguments):
        with jax.enable_x64(True):
            return function(*arguments)

    return jax.custom_batching.sequential_vmap(allowed)
