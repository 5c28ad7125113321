from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import metrics
from curated_retraining.metrics.sliced import _sorted
from curated_retraining.types import Dataset, Generation


def record(pool):
    even = Dataset(pool, jnp.full(pool.shape[:1], 1 / pool.shape[0]))
    return Generation(None, pool, jnp.zeros(pool.shape[0]), even, even)


@partial(jax.jit, static_argnums=0)
def squared(directions, key, pool, reference):
    return metrics.sliced_wasserstein(key, reference, directions)(record(pool))["sliced_w2"] ** 2


def test_sliced_wasserstein_of_a_shift(assert_mean):
    """Along u it is |v·u|, so squared |v|²/d on average over directions; copies of the pool change nothing."""
    reference = jnp.asarray(np.random.default_rng(0).normal(size=(40, 2, 2)))
    shift = np.array([[[3.0, 0.0], [0.0, -4.0]]], np.float32)
    pool = jnp.repeat(reference + shift, 3, axis=0)
    keys = jax.random.split(jax.random.key(2), 50)
    assert_mean(jax.vmap(partial(squared, 20), in_axes=(0, None, None))(keys, pool, reference), 25 / 4)


def test_sliced_wasserstein_on_the_line_is_that_of_the_sorted_points():
    pool, reference = np.random.default_rng(0).normal(size=(2, 30, 1)).astype(np.float32)
    got = metrics.sliced_wasserstein(jax.random.key(3), jnp.asarray(reference), 4)(record(pool))["sliced_w2"]
    expected = np.sqrt(np.mean((np.sort(pool, axis=0) - np.sort(reference, axis=0)) ** 2))
    np.testing.assert_allclose(got, expected, rtol=1e-5)  # some tens of roundings of 6e-8


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_floats_are_sorted_as_integers_and_their_gradients_with_them(dtype):
    def slope(sort):
        return jax.grad(lambda x: sort(x) @ jnp.arange(101.0, dtype=dtype))

    with jax.enable_x64(dtype == "float64"):
        x = jax.random.normal(jax.random.key(0), 101, dtype)
        ends = jnp.concatenate([x, jnp.array([0.0, -0.0, jnp.inf, -jnp.inf, 1e-30, -1e-30], dtype)])
        np.testing.assert_array_equal(_sorted(ends), jnp.sort(ends))
        np.testing.assert_array_equal(slope(_sorted)(x), slope(jnp.sort)(x))


def test_sliced_wasserstein_of_unlike_numbers_of_points_sees_both_tails_alike():
    """Of five ranks the three points of the other set have the places 1, 1, 2, 3 and 3."""
    pool, reference = jnp.array([[-1.0], [-1.0], [0.0], [1.0], [1.0]]), jnp.array([[-1.0], [0.0], [1.0]])
    assert metrics.sliced_wasserstein(jax.random.key(3), reference, 4)(record(pool))["sliced_w2"] == 0


def test_sliced_wasserstein_between_normals(assert_mean):
    """W2² between N(m, s²) and N(0, 1) is m² + (s − 1)²; the larger the samples, the smaller the bias."""
    rng = np.random.default_rng(4)
    pools, references = 1 + 2 * rng.normal(size=(32, 3000, 1)), rng.normal(size=(32, 2000, 1))
    keys = jax.random.split(jax.random.key(4), 32)
    assert_mean(jax.vmap(partial(squared, 1))(keys, jnp.asarray(pools), jnp.asarray(references)), 2)


def test_sliced_wasserstein_sees_all_of_a_large_pool():
    """One in a hundred at either end moved outwards by one: √0.02. 50,000² is more than an int32 holds."""
    pool = np.linspace(0, 1, 50_000)[:, None]
    moved = pool + np.sign(pool - 0.5) * (np.abs(pool - 0.5) > 0.49)
    got = metrics.sliced_wasserstein(jax.random.key(5), jnp.asarray(moved), 1)(record(pool))["sliced_w2"]
    np.testing.assert_allclose(got, np.sqrt(0.02), rtol=1e-3)  # up to 2 of 1000 points at the edges of 0.49
