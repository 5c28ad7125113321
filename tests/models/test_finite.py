import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from curated_retraining.data import uniform
from curated_retraining.models.finite import finite
from curated_retraining.types import Dataset


def fitted(support, data):
    model = finite(support)
    return model, model.fit(jax.random.key(0), model.init(jax.random.key(0), data.x), data)


def test_the_fit_is_the_weighted_histogram_of_the_nearest_rows():
    """Off the support too; each mass is a sum of at most 300 float32 weights that total one."""
    rng = np.random.default_rng(0)
    support, x = (rng.normal(size=(n, 2)).astype(np.float32) for n in (7, 300))
    weight = rng.dirichlet(np.ones(300)).astype(np.float32)
    model, state = fitted(support, Dataset(jnp.asarray(x), jnp.asarray(weight)))

    nearest = cdist(x, support).argmin(axis=1)
    expected = np.bincount(nearest, weight, minlength=7)
    np.testing.assert_allclose(state, expected, atol=300 * np.finfo(np.float32).eps)
    assert model.log_prob is not None
    np.testing.assert_array_equal(model.log_prob(state, x), np.log(state)[nearest])


def test_a_copy_of_a_row_counts_for_that_row_however_far_from_the_origin():
    """At 10^4 squares are rounded to multiples of 8: distances by expanding |a − b|² would lose these rows."""
    support = 1e4 + jnp.arange(5.0)[:, None] / 64
    _, state = fitted(support, uniform(support[jnp.array([0, 1, 1, 3, 3, 3, 3, 4])]))
    np.testing.assert_array_equal(state, np.array([1, 2, 0, 4, 1]) / 8)


def test_samples_follow_the_masses_and_never_fall_where_there_is_none(assert_mean):
    support = jnp.array([[0, 5], [1, 5], [2, 6]])  # tokens
    mass = jnp.array([0.25, 0.0, 0.75])
    x = finite(support).sample(jax.random.key(0), mass, 20_000)
    assert x.dtype == support.dtype
    assert_mean((np.asarray(x)[:, None] == np.asarray(support)).all(axis=-1), mass)


def test_a_row_without_mass_has_log_prob_minus_infinity():
    model, state = fitted(jnp.array([[0.0], [1.0]]), uniform(jnp.zeros((3, 1))))
    assert model.log_prob is not None
    np.testing.assert_array_equal(model.log_prob(state, jnp.array([[0.1], [0.9]])), [0, -np.inf])


def test_a_support_of_images_is_met_by_images():
    support = jax.random.normal(jax.random.key(0), (4, 3, 3, 1))
    _, state = fitted(support, uniform(support[jnp.array([2, 2, 0, 2])]))
    np.testing.assert_array_equal(state, [0.25, 0, 0.75, 0])


@pytest.mark.parametrize(("support", "dtype"), [([0, 50_000], jnp.int32), ([0, 16], jnp.uint8)])
def test_integers_count_for_the_nearest_row_however_far_apart(support, dtype):
    """50,000² is more than an int32 holds, and 16² is zero in uint8."""
    points = jnp.asarray(support, dtype)[:, None]
    _, state = fitted(points, uniform(points[jnp.array([0, 0, 0, 1])]))
    np.testing.assert_array_equal(state, [0.75, 0.25])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_point_that_is_nowhere_is_seen_where_it_weighs(bad):
    x = jnp.array([[bad], [2.0]])
    model, state = fitted(jnp.array([[0.0], [1.0], [2.0]]), Dataset(x, jnp.array([0.0, 1.0])))
    assert model.log_prob is not None
    np.testing.assert_array_equal(state, [0, 0, 1])
    np.testing.assert_array_equal(model.log_prob(state, x), [np.nan, 0])
    assert np.isnan(model.fit(jax.random.key(0), state, uniform(x))).all()


def test_an_empty_support_is_rejected():
    with pytest.raises(ValueError, match="at least one point"):
        finite(jnp.zeros((0, 2)))
