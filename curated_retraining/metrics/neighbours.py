"""Nearest neighbours among features: precision and recall, density and coverage, memorisation."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.metrics.chunks import CHUNK, checked, extract, in_float64, map_chunks, split
from curated_retraining.types import Array, Metrics, Static, lift


class Neighbours(NamedTuple):
    """Features of real points, and how far from each its nearest others are."""

    feature: Array  # [m, d]
    distance: Array  # [m, k], ascending


def neighbours(features: Callable[[Array], Array], real: Array, k: int = 5, chunk: int = CHUNK) -> Neighbours:
    """`Neighbours` of `real` `[m, *event]` among themselves by `features`, `[n, *event]` to `[n, d]`.

    Raises:
        ValueError: where k is less than 1 or there are no k others, chunk is less than 1, or features are no vectors.
    """
    if k < 1:
        raise ValueError(f"k={k} is no number of neighbours: take 1 or more")
    feature = extract(lift(features), real, chunk)
    return Neighbours(feature, in_float64(partial(_nearest, k=k, chunk=chunk))(feature, feature[0]))


def precision_recall(features: Callable[[Array], Array], reference: Neighbours, chunk: int = CHUNK) -> Metrics:
    """`precision` and `recall` in [0, 1]: the share of the pool near real points, and of real points near the pool.

    Near is within the distance from a point of the other set to its k-th nearest of that set (Kynkäänniemi et al. 2019,
    equations 1 and 2); k is that of `reference`. See `prdc` for exactness and memory.
    """
    return Partial(_prdc, lift(features), reference, Static((checked(chunk), ("precision", "recall"))))


def density_coverage(features: Callable[[Array], Array], reference: Neighbours, chunk: int = CHUNK) -> Metrics:
    """`density` ≥ 0, about 1 for a perfect model, and `coverage` in [0, 1], about 1 − 2^−k for it.

    How many balls of real points (radius: the k-th nearest real one) hold a pool point on average, divided by k; and
    the share of these balls that hold one at all (Naeem et al. 2020, equations 4 and 6). See `prdc` for the rest.
    """
    return Partial(_prdc, lift(features), reference, Static((checked(chunk), ("density", "coverage"))))


def prdc(features: Callable[[Array], Array], reference: Neighbours, chunk: int = CHUNK) -> Metrics:
    """`precision`, `recall`, `density` and `coverage` at once, for little more than two of them.

    The counts are those of the package `prdc` 0.2: distances are computed in float64, rounded to the precision of the
    features and compared by `<`, so a point at the very radius is outside. Products are of rows less the first real
    one, which is exact for integers, so their ties are ties. Rows that differ by less than the rounding of these
    products (some 1e-7 of their norms) are at distance 0, where `prdc` has noise of that size and its counts hang on
    it: rows that come more than k times, float64 ties. All are NaN where a feature is not finite.

    Beside features and their float64 copies, some 20 · `chunk` · max(n, m) bytes are held at a time: 26 MB at 5,000.
    """
    return Partial(
        _prdc, lift(features), reference, Static((checked(chunk), ("precision", "recall", "density", "coverage")))
    )


def memorisation(features: Callable[[Array], Array], reference: Neighbours, chunk: int = CHUNK) -> Metrics:
    """`nearest_real`, `nearest_real_ratio` and `authenticity`: whether the pool copies real points.

    The median distance of a pool point to its nearest real one, in units of the features; this over the median distance
    of a real point to its nearest other (Meehan et al. 2020 compare the two samples by rank): 1 as near as real points
    are, 0 copies; and the share of the pool that is farther from its nearest real point than that one is from its own
    nearest (Alaa et al. 2022): about 1/2 for new real points, 0 for copies. Real points that mostly come twice make the
    ratio infinite or NaN.
    """
    return Partial(_memorisation, lift(features), reference, Static(checked(chunk)))


def _prdc(features, reference: Neighbours, settings: Static, record):
    chunk, names = settings.value
    report = in_float64(partial(_counted, chunk=chunk))(_pool(features, reference, chunk, record), reference)
    return {name: report[name] for name in names}


def _counted(pool, reference: Neighbours, *, chunk):
    k, centre = reference.distance.shape[1], reference.feature[0]
    radius, pool_radius = reference.distance[:, -1], _nearest(pool, centre, k=k, chunk=chunk)[:, -1]
    pool = _less(pool, centre)

    def count(balls, real):
        point, radius = real
        distance = _distances(_less(point, centre), pool, radius.dtype)
        holds = distance < radius[:, None]  # [chunk, n]; never with the radius 0 of rows that fill up
        held = jnp.any(distance < pool_radius[None], axis=1)
        return balls + holds.sum(axis=0, dtype=jnp.int32), (held, holds.any(axis=1))

    none = jnp.zeros(pool.shape[0], jnp.int32)
    balls, seen = jax.lax.scan(count, none, (split(reference.feature, chunk), split(radius, chunk)))
    recalled, covered = (of_chunks.reshape(-1)[: radius.shape[0]] for of_chunks in seen)
    report = {
        "precision": _share(balls > 0),
        "recall": _share(recalled),
        "density": _share(balls) * (1 / k),
        "coverage": _share(covered),
    }
    return _checked(report, pool, radius)


def _memorisation(features, reference: Neighbours, chunk: Static, record):
    pool = _pool(features, reference, chunk.value, record)
    return in_float64(partial(_copied, chunk=chunk.value))(pool, reference)


def _copied(pool, reference: Neighbours, *, chunk):
    own, centre = reference.distance[:, 0], reference.feature[0]
    real = _less(reference.feature, centre)

    def nearest(point):
        distance = _distances(_less(point, centre), real, own.dtype)
        return distance.min(axis=1), own[jax.lax.argmin(distance, 1, jnp.int32)]

    distance, own_of_nearest = map_chunks(nearest, pool, chunk)
    report = {
        "nearest_real": jnp.median(distance),
        "nearest_real_ratio": jnp.median(distance) / jnp.median(own),
        "authenticity": _share(distance > own_of_nearest),
    }
    return _checked(report, pool, own)


def _pool(features, reference, chunk, record):
    pool = extract(features, record.pool, chunk)
    if pool.shape[1] != reference.feature.shape[1]:
        raise ValueError(
            f"the pool has {pool.shape[1]} features and reference {reference.feature.shape[1]}: take the same features"
        )
    return pool


def _nearest(feature, centre, *, k, chunk):
    """Distances `[n, k]` of each row to its nearest others, ascending."""
    if feature.shape[0] <= k:
        raise ValueError(f"k={k} nearest neighbours need more than {feature.shape[0]} points: take a smaller k")
    others = _less(feature, centre)

    def nearest(point):
        return _smallest(_distances(_less(point, centre), others, feature.dtype), k)

    return map_chunks(nearest, feature, chunk)


def _smallest(distance, k):
    """The k smallest but one of each row `[n, m]`, ascending, as `[n, k]`: the least is the point itself, or its equal.

    By k passes for the next larger value; on a CPU top_k of float64 would sort.
    """

    def rank(state, j):
        value, seen = state  # the j smallest so far end with `value`, `seen` are no larger
        larger = jnp.where(distance > value[:, None], distance, jnp.inf).min(axis=1)
        return found(jnp.where(seen > j, value, larger))

    def found(value):
        return (value, jnp.sum(distance <= value[:, None], axis=1, dtype=jnp.int32)), value

    least, _ = found(distance.min(axis=1))
    return jax.lax.scan(rank, least, jnp.arange(1, k + 1))[1].T


def _less(feature, centre):
    """Rows less the first real one: without what all have in common, products round less."""
    return feature.astype(jnp.float64) - centre.astype(jnp.float64)[None]


def _distances(x, y, dtype):
    """Distances `[n, m]` of rows, rounded to `dtype` squared and again as roots, as scikit-learn does."""
    sizes = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None]
    squared = sizes - 2 * (x @ y.T)
    noise = 4 * x.shape[1] ** 0.5 * jnp.finfo(jnp.float64).eps  # of the products: equal rows are at 0 for all of it
    return jnp.sqrt(jnp.where(squared < noise * sizes, 0, squared).astype(dtype))


def _share(counts):
    """Sum over number to the last bit, as NumPy divides: XLA would multiply by the inverse of a constant."""
    return jnp.sum(counts, dtype=jnp.float64) / jax.lax.optimization_barrier(jnp.float64(counts.shape[0]))


def _checked(report, pool, distance):
    finite = jnp.isfinite(pool).all() & jnp.isfinite(distance).all()
    return {name: jnp.where(finite, value, jnp.nan).astype(distance.dtype) for name, value in report.items()}
