"""What every model keeps to: a row each, the same tests for all."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import Counted, built, named

import curated_retraining as cr
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.types import lift_all

EPS = float(jnp.finfo(jnp.float32).eps)
POINTS, NUM = 64, 21
SUPPORT = jnp.stack(jnp.meshgrid(*[jnp.linspace(-2, 2, 5)] * 2), axis=-1).reshape(-1, 2)
TRAINING = {"steps": 8, "batch_size": 16, "learning_rate": 0.03}
NETWORK = TimeMLP(width=8, depth=0)


class Row(NamedTuple):
    build: Callable[..., Any]  # of one of `values`, where there are some
    values: tuple = ()  # of an argument that is data: it may be traced and vmapped
    exact: bool = False  # the fit depends on the weighted points alone, not on draws from them
    pytree: bool = True  # two builds are the same pytree, so that a program takes either
    density: float | None = 1e-4  # how far from one the density may sum; None where there is no density


MODELS = {
    "finite": Row(lambda: cr.finite(SUPPORT), exact=True),
    "gaussian": Row(cr.gaussian, exact=True),
    "gmm": Row(lambda: cr.gmm(2, steps=4), exact=True),
    "kde": Row(lambda bandwidth=0.3: cr.kde(bandwidth, size=POINTS), values=(0.3, 0.5)),
    "flow": Row(lambda: cr.flow(layers=2, bins=4, width=8, depth=0, **TRAINING), pytree=False, density=1e-2),
    "ddpm": Row(lambda: cr.ddpm(NETWORK, betas=jnp.linspace(0.1, 0.6, 6), **TRAINING), pytree=False, density=None),
    "flow_matching": Row(lambda: cr.flow_matching(NETWORK, sample_steps=4, **TRAINING), pytree=False, density=1e-2),
    "from_scratch": Row(lambda: cr.from_scratch(cr.kde(0.3, size=POINTS))),
    "batched": Row(lambda: cr.batched(cr.gaussian(), 8), exact=True),
    "standardised": Row(lambda: cr.standardised(cr.gaussian()), exact=True),
}


def each(**holds):
    return [name for name, row in MODELS.items() if all(getattr(row, key) == value for key, value in holds.items())]


def points(seed):
    """Weighted points of neither mean 0 nor sd 1, a quarter of them with weight zero."""
    point_key, weight_key = jax.random.split(jax.random.key(seed))
    weight = jax.random.uniform(weight_key, (POINTS,)) * (jnp.arange(POINTS) % 4 > 0)
    return cr.Dataset(0.3 + 0.6 * jax.random.normal(point_key, (POINTS, 2)), weight / weight.sum())


@functools.cache
def compiled(name):
    model = MODELS[name].build()
    sample = Counted(model.sample, static_argnums=2)
    return cr.Model(Counted(model.init), Counted(model.fit), sample, model.log_prob and Counted(model.log_prob))


@functools.cache
def states(name):
    """The states of generations -1 (not fitted), 0 and 1."""
    model = compiled(name)
    begin = model.init(jax.random.key(1), points(0).x)
    first = model.fit(jax.random.key(2), begin, points(0))
    return begin, first, model.fit(jax.random.key(3), first, points(1))


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_keeps_the_structure_shapes_and_dtypes_of_the_state(name):
    begin, first, second = states(name)
    chex.assert_trees_all_equal_structs(begin, first, second)
    chex.assert_trees_all_equal_shapes_and_dtypes(begin, first, second)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(second))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "x64"), [("bfloat16", False), ("float32", True)])
def test_points_of_other_dtypes_than_the_default_are_fitted_and_drawn_in_float32(name, dtype, x64):
    with jax.enable_x64(x64):
        model, key = MODELS[name].build(), jax.random.key(0)
        data = cr.uniform(points(0).x.astype(dtype))
        begin = jax.eval_shape(model.init, key, data.x)
        fitted = jax.eval_shape(model.fit, key, begin, data)
        chex.assert_trees_all_equal_shapes_and_dtypes(begin, fitted)
        assert jax.eval_shape(lambda state: model.sample(key, state, NUM), fitted).dtype == jnp.float32
        if model.log_prob is not None:
            assert jax.eval_shape(model.log_prob, fitted, data.x).shape == (POINTS,)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("finite", "standardised")])
def test_integers_are_refused_where_densities_or_noise_are_meant(name):
    model, tokens = MODELS[name].build(), jnp.zeros((POINTS, 2), int)
    with pytest.raises(ValueError, match="takes real coordinates, not int32"):
        jax.eval_shape(model.init, jax.random.key(0), tokens)


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_finite_points_of_the_event(name):
    x = compiled(name).sample(jax.random.key(4), states(name)[1], NUM)
    assert x.shape == (NUM, 2) and x.dtype == jnp.float32
    assert np.isfinite(x).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_key_decides_every_bit(name):
    model, (begin, first, _) = compiled(name), states(name)
    x, same, other = (model.sample(jax.random.key(seed), first, NUM) for seed in (4, 4, 5))
    chex.assert_trees_all_equal(x, same)
    assert (np.asarray(x) != other).any()
    chex.assert_trees_all_equal(model.fit(jax.random.key(2), begin, points(0)), first)


@pytest.mark.parametrize("name", each(exact=False))
def test_the_key_of_a_fit_matters_where_the_fit_draws(name):
    begin, first, _ = states(name)
    other = compiled(name).fit(jax.random.key(9), begin, points(0))
    assert any((np.asarray(a) != b).any() for a, b in zip(*map(jax.tree.leaves, (first, other)), strict=True))


@pytest.mark.parametrize("name", ["flow", "ddpm", "flow_matching"])
def test_samples_and_densities_are_those_of_the_averaged_parameters(name):
    model, (_, first, _) = compiled(name), states(name)
    lost = first._replace(params=jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), first.params))
    x, same = (model.sample(jax.random.key(4), state, NUM) for state in (first, lost))
    chex.assert_trees_all_equal(x, same)
    if model.log_prob:
        chex.assert_trees_all_equal(model.log_prob(first, x), model.log_prob(lost, x))


@pytest.mark.parametrize("name", MODELS)
def test_points_of_weight_zero_have_no_influence(name):
    """Not even on rounding: not one bit of the state changes where they are moved far away."""
    begin, first, _ = states(name)
    x, weight = points(0)
    moved = cr.Dataset(jnp.where(weight[:, None] == 0, 1e3, x), weight)
    chex.assert_trees_all_equal(compiled(name).fit(jax.random.key(2), begin, moved), first)


@pytest.mark.parametrize("name", each(exact=True))
def test_two_copies_of_half_the_weight_are_one_point(name):
    """Sums of POINTS terms in another order differ by up to POINTS ε of the total, and EM takes a few such steps."""
    x, weight = (jnp.concatenate([a[: POINTS // 2]] * 2) for a in points(0))
    weight = weight / weight.sum()
    half = jnp.arange(POINTS) < POINTS // 2
    one, two = (
        compiled(name).fit(jax.random.key(2), states(name)[0], cr.Dataset(x, w)) for w in (2 * weight * half, weight)
    )
    chex.assert_trees_all_close(one, two, atol=10 * POINTS * EPS)


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row.density])
def test_the_density_sums_to_one(name):
    """On a grid of 0.1, finer than any kernel here, to which the trapezoid rule is exact but for the mass outside
    (below 1e-4) and, with flows, for the kinks of the density's slope at knots and the error of the ODE's solver, both
    of second order in steps of 0.1 and 0.25 of a gentle field: 1e-2 in all. A missing Jacobian is off by tenths.
    """
    axis = jnp.arange(-70, 71) / 10
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    points, cell = (SUPPORT, 1) if name == "finite" else (grid, 0.01)
    total = cell * jnp.exp(compiled(name).log_prob(states(name)[1], points)).sum()
    np.testing.assert_allclose(total, 1, atol=MODELS[name].density)


def test_a_model_without_density_says_so():
    for name in each(density=None):
        model = MODELS[name].build()
        wrapped = cr.batched(model, 8), cr.standardised(model), cr.from_scratch(model)
        assert {one.log_prob for one in (model, *wrapped)} == {None}


@pytest.mark.parametrize("name", MODELS)
def test_new_data_of_the_same_shapes_cause_no_retrace(name):
    """A fitted state goes where a fresh one went: weak types would show here."""
    model, (*_, second) = compiled(name), states(name)
    model.sample(jax.random.key(6), second, NUM)
    model.sample(jax.random.key(7), model.fit(jax.random.key(8), second, points(2)), NUM)
    assert (model.init.traces, model.fit.traces, model.sample.traces) == (1, 1, 1)


@pytest.mark.parametrize("name", MODELS)
def test_seeds_vmap(name):
    """A row each of seeds: traced without a compilation, for nothing here could batch and yet mix up its rows."""
    model = MODELS[name].build()

    def one(key, data):
        init_key, fit_key, sample_key = jax.random.split(key, 3)
        return model.sample(sample_key, model.fit(fit_key, model.init(init_key, data.x), data), NUM)

    with jax.debug_key_reuse(False):  # which takes the keys of a scan under vmap for used ones
        x = jax.eval_shape(jax.vmap(one, in_axes=(0, None)), jax.random.split(jax.random.key(0), 3), points(0))
    assert x.shape == (3, NUM, 2)


@pytest.mark.parametrize("name", each(pytree=True))
def test_two_builds_are_one_pytree(name):
    variants = built(MODELS[name]) + built(MODELS[name])
    assert len({jax.tree.structure(lift_all(model)) for model in variants}) == 1


def test_every_public_model_has_its_row():
    assert named("models", cr.Model) - {"sharded"} == MODELS.keys()  # its own tests need several devices
