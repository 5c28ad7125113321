"""Wrappers: a model in, a model out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import Partial

from curated_retraining.data import BATCH, draw, spread
from curated_retraining.types import Array, Dataset, Model, PRNGKey, State, Static, floating, lift, lift_all


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


def sharded(model: Model, mesh: Mesh, parameters: str | None = None) -> Model:
    """Splits the batches of a fit and the samples over the axis `batch` of a mesh: each device works on its rows.

    Training points are whole on each device, so that it draws its rows by itself; devices exchange gradients, once a
    step. The numbers are those of one device but for the rounding of their sums. Batch sizes and pools are multiples of
    the devices along `batch`. Wrap the model before `batched`, which then splits each of its batches.

    Args:
        mesh: of JAX's automatic axes, `jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))`.
        parameters: the axis of the mesh over which the arrays of a state are split, see `placement`; `"batch"` too.
            By default they are whole on each device.
    """
    for axis in [BATCH] if parameters is None else [BATCH, parameters]:
        if axis not in mesh.axis_names:
            raise ValueError(f"the mesh has no axis {axis!r} but {mesh.axis_names}: name one of its axes so")
    model, how = lift_all(model), Static((mesh, parameters))
    return Model(
        init=Partial(_init_sharded, model.init, how),
        fit=Partial(_fit_sharded, model.fit, how),
        sample=Partial(_sample_sharded, model.sample, how),
        log_prob=model.log_prob and Partial(_log_prob_sharded, model.log_prob, how),
    )


def placement(state: State, mesh: Mesh, parameters: str | None = None) -> State:
    """The `NamedSharding` of each array of a state (or of its shapes): what `sharded` keeps to and `drive` takes.

    Each array is split over the axis `parameters` along the last of its largest axes that the devices divide; it is
    whole on each device where there is none, or without `parameters`.
    """

    def of(leaf):
        devices = 1 if parameters is None else mesh.shape[parameters]
        fits = [(size, axis) for axis, size in enumerate(leaf.shape) if size % devices == 0]
        spec = [None] * leaf.ndim
        if devices > 1 and fits:
            spec[max(fits)[1]] = parameters
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(of, state)


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


def _init_sharded(init, how: Static, key: PRNGKey, x: Array) -> State:
    return _placed(init(key, x), how)


def _fit_sharded(fit, how: Static, key: PRNGKey, state: State, data: Dataset) -> State:
    mesh, _ = how.value
    data = jax.lax.with_sharding_constraint(data, NamedSharding(mesh, PartitionSpec()))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return _placed(fit(key, _placed(state, how), data), how)


def _sample_sharded(sample, how: Static, key: PRNGKey, state: State, num: int) -> Array:
    mesh, _ = how.value
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return spread(sample(key, _placed(state, how), num))


def _log_prob_sharded(log_prob, how: Static, state: State, x: Array) -> Array:
    mesh, _ = how.value
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return spread(log_prob(_placed(state, how), spread(x)))


def _placed(state: State, how: Static) -> State:
    return jax.lax.with_sharding_constraint(state, placement(state, *how.value))


def _init_standardised(init, key, x):
    x = floating(x)
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
