import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from curated_retraining.models.kde import kde
from curated_retraining.types import Dataset


def test_the_variance_grows_by_that_of_the_kernel(assert_mean):
    """Of the points that the state keeps, whose moments are known exactly."""
    bandwidth = 0.7
    points = jax.random.normal(jax.random.key(0), (500, 2)) * jnp.array([[1.0, 0.2]])
    x = np.asarray(kde(bandwidth).sample(jax.random.key(1), points, 40_000))
    mean, variance = (np.asarray(f(points, axis=0)) for f in (np.mean, np.var))
    assert_mean(x, mean)
    assert_mean((x - mean) ** 2, variance + bandwidth**2)


def test_the_fit_draws_points_by_their_weight(assert_mean):
    weight = np.array([0.1, 0.0, 0.6, 0.3])
    data = Dataset(jnp.arange(4.0)[:, None], jnp.asarray(weight, jnp.float32))
    model = kde(0.1, size=10_000)
    points = model.fit(jax.random.key(1), model.init(jax.random.key(0), data.x), data)
    assert_mean(np.asarray(points) == np.arange(4), weight)


def test_the_density_is_the_mean_of_the_kernels():
    """Against float64, for images: log-densities of order 10 to some ten ε of themselves."""
    points, x = (jax.random.normal(jax.random.key(seed), (n, 2, 3)) for seed, n in enumerate((20, 30)))
    bandwidth = 0.8
    log_kernel = norm.logpdf(np.asarray(x, np.float64)[:, None], np.asarray(points, np.float64), bandwidth)
    expected = logsumexp(log_kernel.sum(axis=(2, 3)), axis=1) - np.log(20)
    np.testing.assert_allclose(kde(bandwidth).log_prob(points, x), expected, rtol=100 * np.finfo(np.float32).eps)


def test_the_bandwidth_may_be_traced():
    points, x = (jax.random.normal(jax.random.key(seed), (n, 1)) for seed, n in enumerate((9, 5)))
    bandwidths = jnp.array([0.2, 0.5, 2.0])
    together = jax.vmap(lambda bandwidth: kde(bandwidth).log_prob(points, x))(bandwidths)
    for bandwidth, row in zip([0.2, 0.5, 2.0], together, strict=True):
        np.testing.assert_allclose(row, kde(bandwidth).log_prob(points, x), rtol=100 * np.finfo(np.float32).eps)


@pytest.mark.parametrize(("arguments", "message"), [((0.0,), r"bandwidth=0\.0"), ((0.1, 0), "size=0")])
def test_mistakes_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        kde(*arguments)
