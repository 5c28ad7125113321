"""The search for what fits: distances at values of K, τ and λ, on axes that close in on where they are small."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.detection.surface import Curated, Seen, curated, distance
from curated_retraining.types import Array

ROUNDS = 4  # of looking closer
POINTS = {1: 32, 2: 16}  # an axis, by how many of K and τ are looked for
SHARES = 32  # values of η looked at
LEAST = 1.05  # K, where τ is looked for as well: at 1 there is no τ


class Fixed(NamedTuple):
    """What the compiled program depends on."""

    find: tuple[bool, bool, bool]  # K, τ, λ
    reward_range: float


class Known(NamedTuple):
    """What is given, and anything where it is looked for."""

    k: Array
    temperature: Array
    share: Array  # η
    fitted_to: Array


class Axes(NamedTuple):
    """Where is looked. In these coordinates K and τ are nearly independent: `strength` is all that is seen at once."""

    rarity: Array  # 1 / K
    strength: Array  # (1 − 1/K) / τ, where τ is looked for
    share: Array  # η


def everywhere(fixed: Fixed, known: Known, scale: Array) -> Axes:
    """The first axes; one value where nothing is looked for."""
    find_k, find_temperature, find_lam = fixed.find
    dtype = known.k.dtype
    unit = jnp.linspace(0.0, 1.0, POINTS[max(1, find_k + find_temperature)], dtype=dtype)
    return Axes(
        unit / (LEAST if find_temperature else 1.0) if find_k else 1 / known.k[None],
        scale * unit**2 if find_temperature else jnp.zeros(1, dtype),
        jnp.linspace(0.0, 1.0, SHARES, dtype=dtype) if find_lam else known.share[None],
    )


def surface(of: Seen, made: Callable[[Array, Array], Curated], known: Known, axes: Axes) -> Array:
    """The distance at all combinations, `[rarity, strength, share]`."""

    def at(point):
        here = made(*point)
        return jax.vmap(lambda share: distance(of, here, share, known.fitted_to))(axes.share)

    points = [axis.ravel() for axis in jnp.meshgrid(axes.rarity, axes.strength, indexing="ij")]
    found = jax.lax.map(at, tuple(points)).reshape(*(len(axis) for axis in axes))
    return jnp.where(jnp.isfinite(found), found, jnp.inf)  # colder than is looked at, or a model that varies in nothing


def alone(fixed: Fixed, of: Seen, known: Known) -> Array:
    """The distance of no curation."""
    share = jnp.linspace(0.0, 1.0, 8 * SHARES, dtype=known.share.dtype) if fixed.find[2] else known.share[None]
    made = curated(of, lambda p, k: jnp.ones_like(p), known.k)
    return jax.vmap(lambda share: distance(of, made, share, known.fitted_to))(share).min()


def closer(axes: Axes, found: Array, within: Array) -> Axes:
    """As many values of each axis, from before to after where the distance is small, by how small it was found."""
    near = found <= 2 * found.min() + within  # a narrow valley may lie between points that are all far

    def zoom(axis, along):
        last = axis.shape[0] - 1
        inside = near.any(axis=tuple(a for a in range(3) if a != along))
        first, final = jnp.argmax(inside), last - jnp.argmax(inside[::-1])
        low, high = axis[jnp.maximum(first - 1, 0)], axis[jnp.minimum(final + 1, last)]
        return low + (high - low) * jnp.linspace(0.0, 1.0, last + 1, dtype=axis.dtype)

    return Axes(*(zoom(axis, along) for along, axis in enumerate(axes)))


def span(values: Array, found: Array, highest: Array) -> tuple[Array, Array]:
    """The least and the largest of `values` where `found` <= `highest`, between the points by a straight line."""
    low, high = (
        end(values, where=found <= highest, initial=start) for end, start in ((jnp.min, jnp.inf), (jnp.max, -jnp.inf))
    )
    for along in range(3):
        (here, there), (of_here, of_there) = (
            (jax.lax.slice_in_dim(a, 0, a.shape[along] - 1, axis=along), jax.lax.slice_in_dim(a, 1, None, axis=along))
            for a in (found, values)
        )
        crossed = (here <= highest) != (there <= highest)
        way = jnp.where(crossed, (highest - here) / jnp.where(crossed, there - here, 1.0), 0.0)
        way = jnp.where(jnp.isinf(here), 1.0, way)  # the end itself, where the other is out of the question
        at = of_here + way * (of_there - of_here)
        low, high = (
            jnp.minimum(low, jnp.min(at, where=crossed, initial=jnp.inf)),
            jnp.maximum(high, jnp.max(at, where=crossed, initial=-jnp.inf)),
        )
    return low, high
