"""Precision, recall, density and coverage against the package `prdc`.

Both sides count on the same float32 features, on all cores, in one process and by turns. `prdc` finds the radii of real
points at each call. Here `neighbours` finds them once a run, so there are two rows: a generation alone, and with the
radii.
"""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.table import Row, peer, seconds, turns
from curated_retraining import metrics
from curated_retraining.metrics.chunks import CHUNK
from curated_retraining.types import Generation

POINTS, K = 5_000, 5


def rows(repeats: int) -> list[Row]:
    """Two rows a case."""
    normal = np.random.default_rng(0).normal(size=(2 * POINTS, 128))
    return [
        row
        for dimension in (64, 128)
        for row in case(dimension, normal[:POINTS, :dimension], 0.9 * normal[POINTS:, :dimension], repeats)
    ]


def case(dimension: int, real: np.ndarray, pool: np.ndarray, repeats: int) -> list[Row]:
    """Compiles, takes turns and describes one case."""
    prdc = peer("prdc")
    real, pool = real.astype(np.float32), pool.astype(np.float32)
    neighbours, compile_neighbours = seconds(jax.jit(radii, static_argnums=1).lower(real, CHUNK).compile)
    reference = neighbours(real)
    count, compile_count = seconds(jax.jit(counts, static_argnums=2).lower(pool, reference, CHUNK).compile)
    expected = quietly(lambda: prdc.compute_prdc(real, pool, K))
    same = all(count(pool, reference)[name] == np.float32(value) for name, value in expected.items())

    sides = [
        lambda seed: quietly(lambda: prdc.compute_prdc(real, pool, K)),
        lambda seed: count(pool, reference),
        lambda seed: neighbours(real),
    ]
    _, (theirs, ours, before) = turns(sides, repeats)
    work, name = (
        f"prdc: {POINTS:,} × {POINTS:,}, {dimension} features",
        f"prdc {peer('importlib.metadata').version('prdc')}",
    )
    quality = "the same numbers" if same else "OTHER NUMBERS"
    return [
        Row(f"{work}, a generation", ours, compile_count, name, theirs, 5, quality),
        Row(f"{work}, with the radii", before + ours, compile_neighbours + compile_count, name, theirs, None, quality),
    ]


def radii(real: Any, chunk: int) -> metrics.Neighbours:
    """What is found once a run."""
    return metrics.neighbours(features, jnp.asarray(real), K, chunk)


def counts(pool: Any, reference: metrics.Neighbours, chunk: int) -> dict[str, jax.Array]:
    """What is found once a generation, whose pool alone is looked at."""
    nothing: Any = None
    return metrics.prdc(features, reference, chunk)(Generation(nothing, pool, nothing, nothing, nothing))


def features(x: Any) -> Any:
    """The points themselves: extraction is not timed."""
    return x


def quietly(call: Callable[[], Any]) -> Any:
    """What a call returns, without what it prints."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return call()
