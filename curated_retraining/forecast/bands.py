"""Bands around a forecast: how much of it is the samples' randomness."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from curated_retraining.forecast.course import Forecast, predicted
from curated_retraining.forecast.problem import CHUNK, Fixed, Problem, pose
from curated_retraining.types import Array, PRNGKey


def bootstrap(
    key: PRNGKey, reward: Array, label: Array | None = None, *, num: int = 200, level: float = 0.9, **options: Any
) -> tuple[Forecast, Forecast]:
    """The lower and upper ends of bands around `forecast`, by `num` resamples of the samples, with replacement.

    A band holds the middle `level` of the resamples, number by number. It tells of the samples' randomness alone, and
    less of it as the course comes to rest on the few best samples, since none is better than those at hand: with 500
    Gaussian rewards and K = 4, bands of 90 % held the truth of E[r] in 91, 70 and 12 % of trials at generations 1, 4
    and 8 of the pure loop, in 89, 83 and 64 % at λ = 1, and that of class shares in 79 to 88 %.
    The model's samples and the real ones are drawn anew separately; `options` are the arguments of `forecast`.

    Raises:
        ValueError: as `forecast`, or where `num` < 2 or `level` is outside (0, 1).
    """
    if num < 2:
        raise ValueError(f"num={num} resamples make no band: take 2 or more")
    if not 0 < level < 1:
        raise ValueError(f"level={level} is not the share of a band: take a number between 0 and 1")
    fixed, problem = pose(reward, label, **options)
    return _bands(fixed, num, key, problem, (1 - level) / 2)


@partial(jax.jit, static_argnums=(0, 1))
def _bands(fixed: Fixed, num: int, key: PRNGKey, problem: Problem, tail: Array | float) -> tuple[Forecast, Forecast]:
    def of(key):
        model_key, real_key = jax.random.split(key)
        p_0 = _resampled(model_key, problem.p_0)
        p_ref = p_0 if fixed.alone else _resampled(real_key, problem.p_ref)
        return predicted(fixed, problem._replace(p_0=p_0, p_ref=p_ref))

    each = jax.lax.map(of, jax.random.split(key, num), batch_size=CHUNK)

    def quantile(q):  # without interpolation between resamples: infinities are numbers here
        return jax.tree.map(lambda values: jnp.quantile(values, q, axis=0, method="nearest"), each)

    return quantile(tail), quantile(1 - tail)


def _resampled(key: PRNGKey, p: Array) -> Array:
    """As many draws with replacement as `p` has points with mass, which are even and adjacent, as their frequencies."""
    held = p > 0
    drawn = jnp.argmax(held) + jax.random.randint(key, p.shape, 0, held.sum())
    counts = jnp.arange(p.shape[0]) < held.sum()  # the first so many of them count
    return jnp.zeros_like(p).at[drawn].add(jnp.where(counts, 1 / held.sum(), 0.0).astype(p.dtype))
