"""Distributions on a finite support: the perfect learner."""

import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.data import draw, nearest
from curated_retraining.types import Array, Dataset, Model, PRNGKey


def finite(support: Array) -> Model:
    """All distributions on the rows of `support` `[s, *event]`; the state is the probabilities `[s]`.

    The fit is exact: the weighted histogram. A point off the support counts for the `data.nearest` row (Euclidean), so
    real data can be given as they are; `log_prob` is the natural log of that row's mass. Where there is none, such as
    for NaN, `log_prob` is NaN, and so is the whole fit to such a point of any weight.
    """
    support = jnp.asarray(support)
    if support.shape[0] < 1:
        raise ValueError("a finite model needs at least one point of support")
    return Model(
        init=Partial(_init, support),
        fit=Partial(_fit, support),
        sample=Partial(_sample, support),
        log_prob=Partial(_log_prob, support),
    )


def _init(support, key, x):
    del key, x
    return jnp.full(support.shape[0], 1 / support.shape[0], float)


def _fit(support, key, state, data: Dataset):
    del key
    row = nearest(data.x, support)
    lost = jnp.any((row < 0) & (data.weight > 0))
    return jnp.where(lost, jnp.nan, jnp.zeros_like(state).at[row].add(data.weight))


def _sample(support, key: PRNGKey, state: Array, num: int) -> Array:
    return draw(key, Dataset(support, state), num)


def _log_prob(support, state, x):
    return at_nearest(support, jnp.log(state), x)


def at_nearest(support: Array, values: Array, x: Array) -> Array:
    """The entry of `values` `[s]` that belongs to the row of `support` nearest each of `x`, NaN where there is none."""
    row = nearest(x, support)
    return jnp.where(row < 0, jnp.nan, values[row])
