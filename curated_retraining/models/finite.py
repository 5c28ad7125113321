"""Distributions on a finite support: the perfect learner."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.data import cumulative, draw_index
from curated_retraining.types import Array, Dataset, Model, PRNGKey


def finite(support: Array) -> Model:
    """All distributions on the rows of `support` `[s, *event]`; the state is the probabilities `[s]`.

    The fit is exact: the weighted histogram. A point off the support counts for the nearest row (Euclidean), so real
    data can be given as they are; `log_prob` is the natural log of that row's mass.
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
    return jnp.zeros_like(state).at[nearest(support, data.x)].add(data.weight)


def _sample(support, key: PRNGKey, state: Array, num: int) -> Array:
    return support[draw_index(key, cumulative(state), num)]


def _log_prob(support, state, x):
    return jnp.log(state[nearest(support, x)])


def nearest(support: Array, x: Array) -> Array:
    """The row of `support` nearest each of `x`, by differences: a copy of a row is at distance exactly zero."""

    def one(point):
        return jnp.argmin(jax.vmap(lambda row: jnp.sum((row - point) ** 2))(support))

    return jax.lax.map(one, x, batch_size=4096)
