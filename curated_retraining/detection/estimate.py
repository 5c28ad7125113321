"""How strongly a generation was curated, estimated from the rewards of samples before and after."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from curated_retraining import theory
from curated_retraining.detection.search import ROUNDS, Fixed, Known, alone, closer, everywhere, span, surface
from curated_retraining.detection.surface import curated, seen
from curated_retraining.forecast.problem import bound, row
from curated_retraining.theory.roots import bisected
from curated_retraining.types import Array, require

COLDEST = 64.0  # range of rewards / τ, where τ is looked for


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
            range, `before` spans more than 65,536 τ and no `reward_range` is given, or λ is asked of no real data.
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
    fixed = Fixed((k is None, temperature is None, lam is None), reward_range)
    return _detected(fixed, *samples, known, jnp.asarray(level, samples[0].dtype))


@partial(jax.jit, static_argnums=0)
def _detected(fixed: Fixed, before, after, real, known: Known, level) -> Detection:
    of, within = seen(before, after, real), _quantile(level, max(1, sum(fixed.find)))
    operator = partial(theory.k_way_operator, before, reward_range=fixed.reward_range)  # of a temperature
    shared = None if fixed.find[1] else operator(temperature=known.temperature)  # its tables are made once

    def made(rarity, strength):
        of_point = shared or operator(temperature=(1 - rarity) / strength)
        return curated(of, of_point, 1 / rarity)

    def look(axes, _):
        found = surface(of, made, known, axes)
        return closer(axes, found, within), (axes, found)

    _, looked = jax.lax.scan(look, everywhere(fixed, known, fixed.reward_range / jnp.ptp(before)), length=ROUNDS)
    axes, found = jax.tree.map(lambda each: each[-1], looked)
    rarity, strength, share = jnp.meshgrid(*axes, indexing="ij")

    def estimate(values):  # numbers that stay finite where K, τ and λ do not
        return Estimate(values.ravel()[jnp.argmin(found)], *span(values, found, found.min() + within))

    def turned(one, of):
        return Estimate(of(one.value), of(one.high), of(one.low))

    inverse = partial(turned, of=lambda value: 1 / value)
    lam = Estimate(*(value / (1 - value) for value in estimate(share)))
    gain = alone(fixed, of, known) - found.min() if any(fixed.find[:2]) else jnp.nan
    none = gain <= 1e-3  # but for rounding: the best fit is K = 1, and neither K nor τ was fitted
    freedom = of.alive.sum() - jnp.where(none, fixed.find[2], sum(fixed.find))
    return Detection(
        inverse(estimate(rarity)),
        inverse(estimate(strength / (1 - rarity))) if fixed.find[1] else Estimate(*[known.temperature] * 3),
        lam,
        jnp.where(none, 1.0, jax.scipy.stats.chi2.sf(gain, 1) / 2),  # K lies on one side of 1
        jnp.where(freedom > 0, jax.scipy.stats.chi2.sf(found.min(), jnp.maximum(freedom, 1)), jnp.nan),
    )


def _quantile(level: Array, freedom: int) -> Array:
    """Of χ² of `freedom` degrees."""
    ends = jnp.zeros_like(level), jnp.full_like(level, 100.0)
    return bisected(lambda value: jax.scipy.stats.chi2.cdf(value, freedom) < level, ends, 60)[0]
