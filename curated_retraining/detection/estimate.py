"""How strongly a generation was curated, estimated from the rewards of samples before and after."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from curated_retraining import theory
from curated_retraining.detection.surface import Curated, Seen, curated, distance, seen
from curated_retraining.forecast.problem import bound, row
from curated_retraining.types import Array, require

ROUNDS = 4  # of looking closer
POINTS = {1: 32, 2: 16}  # an axis, by how many of K and τ are looked for
SHARES = 32  # values of η looked at
COLDEST = 64.0  # range of rewards / τ, where τ is looked for
LEAST = 1.05  # K, where τ is looked for as well: at 1 there is no τ


class Estimate(NamedTuple):
    """A number and the ends of its interval, `[]` each; all the same where it was given."""

    value: Array
    low: Array
    high: Array


class Detection(NamedTuple):
    """How a generation was curated."""

    k: Estimate  # K, any real ≥ 1; `high` is inf where a choice among arbitrarily many fits too
    temperature: Estimate  # τ
    lam: Estimate  # λ = #curated / #real
    p_value: Array  # [], of there having been no curation: K = 1, or τ = ∞; NaN where neither is looked for
    misfit: Array  # [], p-value of the best fit: small where nothing of this kind happened; NaN where all would fit


class Static(NamedTuple):
    """What the compiled program depends on."""

    find: tuple[bool, bool, bool]  # K, τ, λ
    reward_range: float


class Known(NamedTuple):
    """What is given, and anything where it is looked for."""

    k: Array
    temperature: Array
    share: Array  # η
    fitted_to: Array


def detect(
    before: Array,
    after: Array,
    real: Array | None = None,
    *,
    k: Array | float | None = None,
    temperature: Array | float | None = 1.0,
    lam: Array | float | None = jnp.inf,
    level: Array | float = 0.9,
    fitted_to: Array | float = jnp.inf,
    reward_range: float | None = None,
) -> Detection:
    """K, τ and λ of the curation that leads from one generation to the next; what is `None` is estimated.

    They minimise the distance of `detection.surface`, and the intervals span where it is within the `level` quantile of
    χ² of the least, of as many degrees as numbers are looked for: together they hold the truth that often, and each
    alone more often where there are several. They tell of the samples' randomness, not of the learner's faults.

    What can be known: p_{t+1} / p_t depends on K and τ together, to first order in r / τ through (1 − 1/K) / τ alone.
    So either is known where the other is given, and both only where rewards spread over several τ. λ needs `real`, and
    is known well where these differ from generation t; at the first retraining, where they do not, only η (H − 1) is
    seen, whose size K and λ share. A learner's bias counts as curation as soon as the samples are enough to see it:
    `misfit` tells of what no K, τ and λ explain.

    Measured with 1,000 Gaussian rewards (sd 1) of each generation, exact learners, intervals of 90 %: K = 2 found with
    a standard error of 10 % at known τ = 1 (the interval held it in 452 of 500), τ = 1/2 at known K = 4 with 10 % (181
    of 200). K = 4 and λ = 1 at t = 2 → 3: both held in 374 of 400, but K only to a factor of 1.7.

    Args:
        before: rewards of samples of generation t, `[n]`.
        after: rewards of samples of generation t + 1, `[m]`.
        real: rewards of the real data, `[q]`; needed unless λ is known to be inf.
        k: K, any real ≥ 1, or inf.
        temperature: τ of the choice; 0 is best-of-K, for which ranks suffice. Looked for from a 64th of the range of
            rewards on.
        lam: λ = #curated / #real; inf is the pure loop.
        level: of the intervals.
        fitted_to: curated points that generation t + 1 was fitted to, if that is known: they vary too.
        reward_range: static bound on (max r − min r) / τ, as in `theory.trajectory`; by default a little over what it
            is, or 100 where that is traced.

    It vmaps over everything but the sizes.

    Raises:
        ValueError: where samples are missing or all alike, a number is not finite, K, τ, λ or the level are out of
            range, or λ is asked of no real data.
    """
    samples = [row(name, values) for name, values in (("before", before), ("after", after))]
    samples.append(samples[0][:1] if real is None else row("real", real))  # of no weight in the pure loop
    if not isinstance(lam, Tracer) and real is None and (lam is None or not np.all(np.isinf(lam))):
        raise ValueError(f"lam={lam} needs the rewards of real data: give real, or lam=inf for the pure loop")
    require("before", samples[0], lambda r: np.ptp(r) > 0, "is all the same: nothing can have been chosen by it")
    require("level", level, lambda p: (p > 0) & (p < 1), "is not that of an interval: take a number between 0 and 1")
    require("fitted_to", fitted_to, lambda n: n >= 1, "is not a number of points: take 1 or more, or inf")
    if k is not None:
        require("k", k, lambda k: k >= 1, "is not a group size: take a number of at least 1, or inf")
        if temperature is None:
            require("k", k, lambda k: k > 1, "leaves no choice, so that no temperature is seen in it: take more")
    if temperature is not None:
        require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    if reward_range is None:
        reward_range = COLDEST if temperature is None else bound(samples[0], temperature)
    share = 0.0 if lam is None else theory.curated_share(lam)
    given = (1.0 if k is None else k, 1.0 if temperature is None else temperature, share, fitted_to)
    known = Known(*(jnp.asarray(value, samples[0].dtype) for value in given))
    static = Static((k is None, temperature is None, lam is None), reward_range)
    return _detected(static, *samples, known, jnp.asarray(level, samples[0].dtype))


class _Axes(NamedTuple):
    """Where is looked. In these coordinates K and τ are nearly independent: `strength` is all that is seen at once."""

    rarity: Array  # 1 / K
    strength: Array  # (1 − 1/K) / τ, where τ is looked for
    share: Array  # η


@partial(jax.jit, static_argnums=0)
def _detected(static: Static, before, after, real, known: Known, level) -> Detection:
    of, within = seen(before, after, real), _quantile(level, max(1, sum(static.find)))
    operator = partial(theory.k_way_operator, before, reward_range=static.reward_range)  # of a temperature
    shared = None if static.find[1] else operator(temperature=known.temperature)  # its tables are made once

    def made(rarity, strength):
        of_point = shared or operator(temperature=(1 - rarity) / strength)
        return curated(of, of_point, 1 / rarity)

    def look(axes, _):
        found = _surface(of, made, known, axes)
        return _closer(axes, found, within), (axes, found)

    _, looked = jax.lax.scan(look, _everywhere(static, known, static.reward_range / jnp.ptp(before)), length=ROUNDS)
    axes, found = jax.tree.map(lambda each: each[-1], looked)
    rarity, strength, share = jnp.meshgrid(*axes, indexing="ij")

    def estimate(values):  # numbers that stay finite where K, τ and λ do not
        return Estimate(values.ravel()[jnp.argmin(found)], *_range(values, found, found.min() + within))

    def turned(one, of):
        return Estimate(of(one.value), of(one.high), of(one.low))

    inverse = partial(turned, of=lambda value: 1 / value)
    lam = Estimate(*(value / (1 - value) for value in estimate(share)))
    gain = _alone(static, of, known) - found.min() if any(static.find[:2]) else jnp.nan
    freedom = of.alive.sum() - sum(static.find)
    return Detection(
        inverse(estimate(rarity)),
        inverse(estimate(strength / (1 - rarity))) if static.find[1] else Estimate(*[known.temperature] * 3),
        lam,
        jnp.where(gain <= 0, 1.0, jax.scipy.stats.chi2.sf(gain, 1) / 2),  # K lies on one side of 1
        jnp.where(freedom > 0, jax.scipy.stats.chi2.sf(found.min(), jnp.maximum(freedom, 1)), jnp.nan),
    )


def _everywhere(static: Static, known: Known, scale: Array) -> _Axes:
    """The first axes; one value where nothing is looked for."""
    find_k, find_temperature, find_lam = static.find
    dtype = known.k.dtype
    unit = jnp.linspace(0.0, 1.0, POINTS[max(1, find_k + find_temperature)], dtype=dtype)
    return _Axes(
        unit / (LEAST if find_temperature else 1.0) if find_k else 1 / known.k[None],
        scale * unit**2 if find_temperature else jnp.zeros(1, dtype),
        jnp.linspace(0.0, 1.0, SHARES, dtype=dtype) if find_lam else known.share[None],
    )


def _surface(of: Seen, made: Callable[[Array, Array], Curated], known: Known, axes: _Axes) -> Array:
    """The distance at all combinations, `[rarity, strength, share]`."""

    def at(point):
        here = made(*point)
        return jax.vmap(lambda share: distance(of, here, share, known.fitted_to))(axes.share)

    points = [axis.ravel() for axis in jnp.meshgrid(axes.rarity, axes.strength, indexing="ij")]
    found = jax.lax.map(at, tuple(points)).reshape(*(len(axis) for axis in axes))
    return jnp.where(jnp.isfinite(found), found, jnp.inf)  # colder than is looked at, or a model that varies in nothing


def _alone(static: Static, of: Seen, known: Known) -> Array:
    """The distance of no curation."""
    share = jnp.linspace(0.0, 1.0, 8 * SHARES, dtype=known.share.dtype) if static.find[2] else known.share[None]
    made = curated(of, lambda p, k: jnp.ones_like(p), known.k)
    return jax.vmap(lambda share: distance(of, made, share, known.fitted_to))(share).min()


def _closer(axes: _Axes, found: Array, within: Array) -> _Axes:
    """As many values of each axis, from before to after where the distance is small, by how small it was found."""
    near = found <= 2 * found.min() + within  # a narrow valley may lie between points that are all far

    def zoom(axis, along):
        last = axis.shape[0] - 1
        inside = near.any(axis=tuple(a for a in range(3) if a != along))
        first, final = jnp.argmax(inside), last - jnp.argmax(inside[::-1])
        low, high = axis[jnp.maximum(first - 1, 0)], axis[jnp.minimum(final + 1, last)]
        return low + (high - low) * jnp.linspace(0.0, 1.0, last + 1, dtype=axis.dtype)

    return _Axes(*(zoom(axis, along) for along, axis in enumerate(axes)))


def _range(values: Array, found: Array, highest: Array) -> tuple[Array, Array]:
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


def _quantile(level: Array, freedom: int) -> Array:
    """Of χ² of `freedom` degrees."""

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        less = jax.scipy.stats.chi2.cdf(middle, freedom) < level
        return jnp.where(less, middle, low), jnp.where(less, high, middle)

    return jax.lax.fori_loop(0, 60, halve, (jnp.zeros_like(level), jnp.full_like(level, 100.0)))[0]
