"""Wrappers: a model in, a model out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.data import draw
from curated_retraining.types import Array, Dataset, Model, PRNGKey, State, Static, lift, lift_all


def from_scratch(model: Model) -> Model:
    """Refits from a fresh initialisation in each generation, its example points drawn from the training data."""
    return model._replace(fit=Partial(_refit, lift(model.init), lift(model.fit)))


def batched(model: Model, size: int) -> Model:
    """Samples and evaluates at most `size` points at a time: the memory of big pools stays bounded."""
    if size < 1:
        raise ValueError(f"size={size} is not a number of points: take 1 or more")
    model = lift_all(model)
    log_prob = model.log_prob and Partial(_log_prob_by_batch, model.log_prob, Static(size))
    return model._replace(sample=Partial(_sample_by_batch, model.sample, Static(size)), log_prob=log_prob)


def standardised(model: Model) -> Model:
    """Fits in units in which the example points of `init` have mean 0 and standard deviation 1 a coordinate.

    Shift and scale are kept from then on, so that generations share their units.
    """
    model = lift_all(model)
    return Model(
        init=Partial(_init_standardised, model.init),
        fit=Partial(_fit_standardised, model.fit),
        sample=Partial(_sample_standardised, model.sample),
        log_prob=model.log_prob and Partial(_log_prob_standardised, model.log_prob),
    )


class Standardised(NamedTuple):
    """The units of a model and its state in them."""

    shift: Array  # [*event]
    scale: Array  # [*event]
    inner: State


def _refit(init, fit, key: PRNGKey, state: State, data: Dataset) -> State:
    del state
    example_key, init_key, fit_key = jax.random.split(key, 3)
    example = draw(example_key, data, data.x.shape[0])
    return fit(fit_key, init(init_key, example), data)


def _sample_by_batch(sample, size: Static, key: PRNGKey, state: State, num: int) -> Array:
    whole, rest = divmod(num, size.value)
    keys = jax.random.split(key, whole + 1)
    parts = []
    if whole:
        each = jax.lax.map(lambda key: sample(key, state, size.value), keys[:-1])
        parts.append(each.reshape(-1, *each.shape[2:]))
    if rest:
        parts.append(sample(keys[-1], state, rest))
    return jnp.concatenate(parts)


def _log_prob_by_batch(log_prob, size: Static, state: State, x: Array) -> Array:
    whole = x.shape[0] // size.value * size.value
    each = jax.lax.map(lambda part: log_prob(state, part), x[:whole].reshape(-1, size.value, *x.shape[1:]))
    rest = [log_prob(state, x[whole:])] if whole < x.shape[0] else []
    return jnp.concatenate([each.reshape(-1), *rest])


def _init_standardised(init, key, x):
    shift = x.mean(axis=0)
    scale = jnp.where(jnp.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)  # a coordinate that never varies is only shifted
    return Standardised(shift, scale, init(key, jax.vmap(lambda row: (row - shift) / scale)(x)))


def _fit_standardised(fit, key, state: Standardised, data: Dataset) -> Standardised:
    z = jax.vmap(lambda row: (row - state.shift) / state.scale)(data.x)
    return state._replace(inner=fit(key, state.inner, Dataset(z, data.weight)))


def _sample_standardised(sample, key, state: Standardised, num: int) -> Array:
    return jax.vmap(lambda row: state.shift + state.scale * row)(sample(key, state.inner, num))


def _log_prob_standardised(log_prob, state: Standardised, x: Array) -> Array:
    z = jax.vmap(lambda row: (row - state.shift) / state.scale)(x)
    return log_prob(state.inner, z) - jnp.log(state.scale).sum()
