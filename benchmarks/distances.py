"""Sliced Wasserstein and Fréchet distances against POT and SciPy, on the same float32 arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from benchmarks.table import Row, peer, turns
from curated_retraining.types import Generation

POINTS, DIRECTIONS = 20_000, 128
FEATURES = ((5_000, 64), (5_000, 512))


def rows(repeats: int) -> list[Row]:
    """A row a distance."""
    return [sliced(repeats), *(frechet(num, size, repeats) for num, size in FEATURES)]


def sliced(repeats: int) -> Row:
    """Of two sets of points of the plane, along the same directions."""
    pot = peer("ot")
    pool, real = (np.asarray(cr.ring(jax.random.key(seed), POINTS, sd=0.3 + 0.1 * seed).x) for seed in (0, 1))
    metric = cr.metrics.sliced_wasserstein(jax.random.key(2), jnp.asarray(real), DIRECTIONS)
    program, points = jax.jit(lambda metric, pool: metric(of(pool))), jnp.asarray(pool)
    directions = np.random.default_rng(0).normal(size=(2, DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)

    def theirs(seed):
        return pot.sliced.sliced_wasserstein_distance(pool, real, projections=directions)

    begun, (mine, other) = turns([lambda seed: program(metric, points), theirs], repeats)
    values = f"{float(program(metric, points)['sliced_w2']):.4f}, POT {float(theirs(0)):.4f} (other directions)"
    name = f"sliced W₂: {POINTS:,} against {POINTS:,}, {DIRECTIONS} directions"
    return Row(name, mine, begun[0] - mine, f"POT {pot.__version__}", other, quality=values)


def frechet(num: int, size: int, repeats: int) -> Row:
    """Of features with real moments that are found once, as a run does; SciPy's by the usual `sqrtm`."""
    linalg = peer("scipy.linalg")
    rng = np.random.default_rng(0)
    real, pool = ((rng.normal(size=(num, size)) @ rng.normal(size=(size, size)) / size**0.5) for _ in range(2))
    real, pool = real.astype(np.float32), pool.astype(np.float32)
    reference = jax.jit(lambda real: cr.metrics.moments(lambda x: x, real))(jnp.asarray(real))
    metric = cr.metrics.frechet(lambda x: x, reference)
    program, points = jax.jit(lambda metric, pool: metric(of(pool))), jnp.asarray(pool)
    mean, covariance = real.mean(0, dtype=float), np.cov(real.T.astype(float))

    def theirs(seed):
        spread = np.cov(pool.T.astype(float))
        shift = np.sum((pool.mean(0, dtype=float) - mean) ** 2)
        return shift + np.trace(spread + covariance - 2 * linalg.sqrtm(spread @ covariance).real)

    begun, (mine, other) = turns([lambda seed: program(metric, points), theirs], repeats)
    away = abs(float(program(metric, points)["frechet_distance"]) / theirs(0) - 1)
    name, version = f"Fréchet distance: {num:,} × {size} features", f"SciPy {peer('scipy').__version__}"
    return Row(name, mine, begun[0] - mine, version, other, quality=f"differ by {away:.0e} of the distance")


def of(pool: Any) -> Generation:
    """A record of which the pool alone is looked at."""
    nothing: Any = None
    return Generation(nothing, pool, nothing, nothing, nothing)
