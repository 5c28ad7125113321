from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from curated_retraining.data import ring, ring_means, uniform
from curated_retraining.models.gmm import Mixture, gaussian, gmm
from curated_retraining.types import Dataset, lift_all

EPS = np.finfo(np.float32).eps


def weighted(n=400, d=2):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    return Dataset(jnp.asarray(x, jnp.float32), jnp.asarray(rng.dirichlet(np.full(n, 0.5)), jnp.float32))


def moments(data):
    """Mean and maximum-likelihood covariance of weighted points, in float64."""
    x, weight = (np.asarray(a, np.float64) for a in data)
    mean = weight @ x / weight.sum()
    return mean, (x - mean).T @ (weight[:, None] * (x - mean)) / weight.sum()


def density(state, x):
    """Log-density of a mixture by scipy."""
    parts = zip(*(np.asarray(leaf, np.float64) for leaf in state), strict=True)
    return logsumexp([np.log(w) + multivariate_normal(m, c @ c.T).logpdf(x) for w, m, c in parts], axis=0)


@jax.jit
def fit(model, state, data):
    return model.fit(jax.random.key(0), state, data)


@jax.jit
def init(model, x):
    return model.init(jax.random.key(1), x)


def fitted(model, data):
    return fit(lift_all(model), init(lift_all(model), data.x), data)


def test_the_gaussian_has_the_weighted_maximum_likelihood_moments():
    """Sums of 400 float32 terms of order one, a few hundred ε; the ridge of 1e-3 is seen above them."""
    data = weighted()
    state = fitted(gaussian(ridge=1e-3), data)
    mean, covariance = moments(data)
    np.testing.assert_allclose(state.weight, [1], atol=EPS)
    np.testing.assert_allclose(state.mean[0], mean, atol=400 * EPS)
    np.testing.assert_allclose(state.chol[0] @ state.chol[0].T, covariance + 1e-3 * np.eye(2), atol=1000 * EPS)
    np.testing.assert_array_equal(state.chol[0], np.tril(state.chol[0]))


def test_the_density_is_that_of_the_mixture():
    """Against scipy in float64; log-densities of order 10 to some ten ε of themselves."""
    rng = np.random.default_rng(2)
    chol = np.tril(rng.normal(size=(3, 2, 2)), -1) + np.array([[0.5, 0.0], [0.0, 2.0]])
    state = Mixture(*(jnp.asarray(leaf, jnp.float32) for leaf in ([0.2, 0.5, 0.3], rng.normal(size=(3, 2)), chol)))
    x = 3 * jax.random.normal(jax.random.key(0), (50, 2))
    np.testing.assert_allclose(gmm(3).log_prob(state, x), density(state, x), rtol=100 * EPS)


def test_samples_have_the_moments_of_the_mixture(assert_mean):
    weight, mean = np.array([0.7, 0.3]), np.array([[-1.0, 0.0], [2.0, 1.0]])
    chol = np.array([[[1.0, 0.0], [0.5, 0.2]], [[0.3, 0.0], [-0.4, 1.0]]])
    state = Mixture(*(jnp.asarray(leaf, jnp.float32) for leaf in (weight, mean, chol)))
    x = gmm(2).sample(jax.random.key(0), state, 20_000)
    centre = weight @ mean
    second = np.einsum("k,kij->ij", weight, chol @ chol.transpose(0, 2, 1) + mean[:, :, None] * mean[:, None])
    assert_mean(x, centre)
    assert_mean(x[:, :, None] * x[:, None], second)


def test_em_never_lowers_the_weighted_likelihood():
    """With a ridge of 1e-6 of the variance, EM is exact to less than the rounding of a mean of order one."""
    data, model = weighted(), gmm(3, steps=1, ridge=1e-6)
    state, likelihood = init(lift_all(model), data.x), []
    for _ in range(25):
        state = fit(lift_all(model), state, data)
        likelihood.append(float(data.weight @ model.log_prob(state, data.x)))
    assert all(later >= earlier - 100 * EPS for earlier, later in pairwise(likelihood))
    assert likelihood[-1] > likelihood[0]


def test_a_component_without_points_keeps_its_place_with_weight_zero():
    """At a distance of 10^3 the share underflows to zero, and stays so though the component is near in a later fit."""
    data, model = weighted(), gmm(2, steps=3)
    chol = jnp.stack([jnp.eye(2)] * 2)
    state = Mixture(jnp.array([0.5, 0.5]), jnp.array([[0.0, 0.0], [1e3, 0.0]]), chol)
    first = fit(lift_all(model), state, data)
    again = fit(lift_all(model), first, Dataset(data.x + jnp.array([[1e3, 0.0]]), data.weight))
    for after in (first, again):
        np.testing.assert_array_equal(after.weight, [1, 0])
        np.testing.assert_array_equal(after.mean[1], state.mean[1])
        np.testing.assert_array_equal(after.chol[1], chol[1])
        assert all(np.isfinite(leaf).all() for leaf in after)
    x = model.sample(jax.random.key(0), first, 1000)
    assert (np.asarray(x)[:, 0] < 500).all() and np.isfinite(model.log_prob(first, data.x)).all()


@jax.jit
def starts(model, keys, data):
    """Fits from several first states, and how likely each makes the data."""

    def one(key):
        state = model.fit(jax.random.key(0), model.init(key, data.x), data)
        return state, data.weight @ model.log_prob(state, data.x)

    return jax.lax.map(one, keys)


@pytest.mark.statistical
def test_it_finds_the_eight_modes_of_a_ring():
    """A mode of 500 points has mean, variance and weight within 5 of their standard errors, plus the ridge.

    One start in 20 ends where two components share a mode: the likeliest of 4 does so with odds of 6e-6.
    """
    n, sd = 4000, 0.3
    data = ring(jax.random.key(0), n, sd=sd)
    states, likelihood = starts(lift_all(gmm(8, steps=30)), jax.random.split(jax.random.key(1), 4), data)
    weight, mean, chol = (np.asarray(leaf[jnp.argmax(likelihood)]) for leaf in states)
    away = np.linalg.norm(mean[:, None] - np.asarray(ring_means()), axis=-1)
    np.testing.assert_array_equal(np.sort(away.argmin(axis=1)), np.arange(8))  # each mode has its component
    assert away.min(axis=1).max() < 5 * sd * np.sqrt(2 / (n / 8))
    np.testing.assert_allclose(weight, 1 / 8, atol=5 * np.sqrt(1 / 8 * 7 / 8 / n))
    variance = np.diagonal(chol @ chol.transpose(0, 2, 1), axis1=1, axis2=2)
    np.testing.assert_allclose(variance, sd**2, atol=5 * sd**2 * np.sqrt(2 / (n / 8)) + 1e-4)


def test_a_fit_goes_on_from_the_last_one():
    data, model = uniform(weighted().x), gmm(3, steps=1)
    state = init(lift_all(model), data.x)
    for _ in range(4):
        state = fit(lift_all(model), state, data)
    once = fit(lift_all(gmm(3, steps=4)), init(lift_all(model), data.x), data)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1000 * EPS), state, once)


@pytest.mark.parametrize(
    ("arguments", "message"), [((0,), "components=0"), ((2, 0), "steps=0"), ((2, 1, 0.0), r"ridge=0\.0")]
)
def test_mistakes_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        gmm(*arguments)
