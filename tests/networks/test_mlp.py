import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining.networks.mlp import MLP, TimeMLP, time_features

X = jnp.linspace(-1, 1, 30).reshape(5, 3, 2)
TIME = jnp.linspace(0, 1, 5)


def untied(params):
    """Parameters with noise, so that the last layer is no longer zero."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32), params)


@pytest.fixture(scope="module")
def mlp():
    """Parameters and the compiled network."""
    network = MLP(out=4, width=7, depth=2)
    return jax.jit(network.init)(jax.random.key(0), X), jax.jit(network.apply)


@pytest.fixture(scope="module")
def time_mlp():
    """Parameters and the compiled network."""
    network = TimeMLP(width=7, depth=1)
    return jax.jit(network.init)(jax.random.key(1), X, time_features(TIME, 4)), jax.jit(network.apply)


def widths(params):
    return sorted(layer["kernel"].shape for layer in params["params"].values())


def test_mlp_starts_at_zero_and_takes_events_of_any_shape(mlp):
    params, apply = mlp
    np.testing.assert_array_equal(apply(params, X), np.zeros((5, 4)))
    assert widths(params) == [(6, 7), (7, 4), (7, 7), (7, 7)]
    assert jax.eval_shape(apply, params, X.astype(int)).dtype == jnp.float32


def test_mlp_treats_each_point_alone(mlp):
    params, apply = mlp
    out, changed = (np.asarray(apply(untied(params), x)) for x in (X, X.at[3].add(1.0)))
    alone = np.arange(5) != 3
    np.testing.assert_array_equal(out[alone], changed[alone])
    assert not np.any(np.isclose(out[3], changed[3]))


def test_time_mlp_starts_at_zero_in_the_shape_of_events(time_mlp):
    params, apply = time_mlp
    np.testing.assert_array_equal(apply(params, X, time_features(TIME, 4)), np.zeros(X.shape))
    assert widths(params) == [(4, 7), (6, 7), (7, 6), (7, 7)]


def test_time_mlp_reads_the_time_and_one_time_stands_for_all(time_mlp):
    params, apply = untied(time_mlp[0]), time_mlp[1]
    one, other = (apply(params, X, time_features(TIME[i : i + 1], 4)) for i in (1, 2))
    tiled = apply(params, X, time_features(jnp.full(5, TIME[1]), 4))
    np.testing.assert_allclose(one, tiled, rtol=1e-5, atol=1e-5)  # float32 products of another shape
    assert not np.any(np.isclose(one, other))


@pytest.mark.parametrize(
    ("num", "dtype", "most"), [(4, "float32", 5e-5), (32, "float32", 5e-5), (32, "float64", 3e-10)]
)
def test_time_features_turn_from_a_half_to_32_times(num, dtype, most):
    """An angle of 200 is known to 2.4e-5 in float32; the polynomial to 3e-11 and its slope to 1e-8."""
    with jax.enable_x64(dtype == "float64"):
        time = jnp.linspace(0, 1, 4001, dtype=dtype)
        features, rates = (np.asarray(part) for part in jax.jvp(lambda t: time_features(t, num), (time,), (time,)))
    assert features.dtype == dtype
    angle = 2 * np.pi * np.outer(np.linspace(0, 1, 4001), np.geomspace(0.5, 32, num // 2))
    sine, cosine = np.sin(angle), np.cos(angle)
    np.testing.assert_allclose(features, np.concatenate([sine, cosine], axis=-1), atol=most)
    slope = np.concatenate([angle * cosine, -angle * sine], axis=-1)
    np.testing.assert_allclose(rates, slope, atol=30 * most * angle.max())
