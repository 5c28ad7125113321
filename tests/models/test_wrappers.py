import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining.data import uniform
from curated_retraining.models.ddpm import ddpm
from curated_retraining.models.finite import finite
from curated_retraining.models.gmm import gaussian
from curated_retraining.models.kde import kde
from curated_retraining.models.samplers import ancestral
from curated_retraining.models.wrappers import batched, from_scratch, standardised
from curated_retraining.types import Dataset

EPS = np.finfo(np.float32).eps
SCALE = jnp.array([[3.0, 0.2]])
SHIFT = jnp.array([[10.0, -5.0]])


def points(seed, n=300):
    """Correlated points whose coordinates differ in units and lie far from zero."""
    z = jax.random.normal(jax.random.key(seed), (n, 2))
    return uniform(SHIFT + SCALE * (z + 0.5 * z[:, ::-1]))


def fitted(model, data):
    return model.fit(jax.random.key(1), model.init(jax.random.key(0), data.x), data)


@pytest.mark.parametrize("num", [5, 7, 21, 24])
def test_batches_make_up_the_number_asked_for_and_differ(num):
    """Of a batch of 7: fewer, one, whole ones, and whole ones and a rest; no two rows are the same."""
    model = batched(kde(0.1, size=10), 7)
    x = model.sample(jax.random.key(0), jnp.zeros((10, 3)), num)
    assert x.shape == (num, 3) and len(np.unique(x, axis=0)) == num


def test_batches_have_the_distribution_of_the_model(assert_mean):
    mass = np.array([0.5, 0.2, 0.3])
    x = batched(finite(jnp.arange(3)), 64).sample(jax.random.key(0), jnp.asarray(mass), 10_000)
    assert_mean(np.asarray(x)[:, None] == np.arange(3), mass)


@pytest.mark.parametrize("n", [4, 7, 21, 24])
def test_a_density_by_batches_is_the_density(n):
    """To the rounding of sums in another order."""
    model = kde(0.5)
    state, x = jax.random.normal(jax.random.key(0), (20, 2)), jax.random.normal(jax.random.key(1), (n, 2))
    by_batch = batched(model, 7).log_prob(state, x)
    np.testing.assert_allclose(by_batch, model.log_prob(state, x), rtol=10 * EPS, atol=10 * EPS)


def test_a_batch_has_points():
    with pytest.raises(ValueError, match="size=0"):
        batched(gaussian(), 0)


def test_standardising_a_gaussian_changes_nothing():
    """Means of 10 in units of 0.2 lose 50 ε to rounding, which squares of up to 20 multiply; the ridge is nothing.

    A missing Jacobian would be off by log(3 · 0.2) = −0.5.
    """
    data, model = points(0), gaussian(ridge=1e-12)
    plain, wrapped = fitted(model, data), fitted(standardised(model), data)
    x = points(2).x
    expected = model.log_prob(plain, x)
    np.testing.assert_allclose(standardised(model).log_prob(wrapped, x), expected, atol=50 * 20 * EPS)


def test_samples_come_in_the_units_of_the_data(assert_mean):
    data = points(0)
    model = standardised(gaussian())
    x = np.asarray(model.sample(jax.random.key(2), fitted(model, data), 20_000))
    mean, covariance = np.asarray(data.x).mean(axis=0), np.cov(data.x, rowvar=False, bias=True)
    assert_mean(x, mean)
    assert_mean((x - mean)[:, :, None] * (x - mean)[:, None], covariance)


def test_units_are_those_of_the_points_of_init_and_stay():
    first, second = points(0), points(3)
    model = standardised(gaussian())
    state = model.init(jax.random.key(0), first.x)
    np.testing.assert_allclose(state.shift, np.mean(first.x, axis=0), rtol=10 * EPS)
    np.testing.assert_allclose(state.scale, np.std(first.x, axis=0), rtol=300 * EPS)
    later = model.fit(jax.random.key(1), state, Dataset(2 * second.x, second.weight))
    np.testing.assert_array_equal(later.shift, state.shift)
    np.testing.assert_array_equal(later.scale, state.scale)


def test_from_scratch_forgets_the_last_fit():
    """A fit of a mixture begins at seeds of its own data: two pasts, one result; without the wrapper, two."""
    data = points(0, n=60)
    model = ddpm(steps=2, batch_size=4, sampler=ancestral(1))
    past = [model.init(jax.random.key(seed), data.x) for seed in (0, 1)]

    def params(model, state, seed=2):
        return jax.tree.leaves(jax.jit(model.fit)(jax.random.key(seed), state, data).params)

    scratch = from_scratch(model)
    one, other = (params(scratch, state) for state in past)
    assert all((np.asarray(a) == b).all() for a, b in zip(one, other, strict=True))
    assert any((np.asarray(a) != b).any() for a, b in zip(one, params(scratch, past[0], seed=3), strict=True))
    kept, other = (params(model, state) for state in past)
    assert any((np.asarray(a) != b).any() for a, b in zip(kept, other, strict=True))


def test_from_scratch_takes_its_example_points_from_the_training_data_by_weight(assert_mean):
    """Units of a model that begins anew are those of the weighted points, not of the old ones."""
    weight = np.array([0.1, 0.0, 0.9])
    data = Dataset(jnp.repeat(jnp.array([0.0, 50.0, 1.0]), 1000)[:, None], jnp.repeat(jnp.asarray(weight), 1000) / 1000)
    model = from_scratch(standardised(gaussian()))
    fit = jax.jit(lambda key: model.fit(key, None, data).shift)
    assert_mean(np.stack([fit(jax.random.key(seed)) for seed in range(20)]), [0.9])


def test_a_coordinate_that_never_varies_is_only_shifted():
    x = points(0, n=60).x.at[:, 1].set(5.0)
    model = standardised(gaussian())
    state = model.init(jax.random.key(0), x)
    assert state.scale[1] == 1 and abs(state.shift[1] - 5) < 1e-5 and state.scale[0] != 1
    fitted = model.fit(jax.random.key(1), state, uniform(x))
    assert np.abs(model.sample(jax.random.key(2), fitted, 100)[:, 1] - 5).max() < 0.01  # the ridge's sd is 0.001


def test_what_has_no_density_has_none_when_wrapped():
    model = ddpm()
    assert {wrapped.log_prob for wrapped in (batched(model, 8), standardised(model), from_scratch(model))} == {None}
