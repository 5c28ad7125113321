import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining.networks.classifier import Classifier, fold, norm

NETWORK = Classifier(classes=3, widths=(4, 8))
X = jax.random.normal(jax.random.key(0), (3, 9, 8, 2))


@pytest.fixture(scope="module")
def params():
    """Noise in the shape of parameters: no layer is zero."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(1), X)
    return jax.tree.map(lambda leaf: rng.normal(0.2, 0.5, leaf.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def apply():
    return jax.jit(NETWORK.apply)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (9, 17, 2), (1, 1, 1)])
@pytest.mark.parametrize("widths", [(4,), (6, 10, 16)])
def test_images_of_any_size_give_one_row_of_logits_each(shape, widths):
    network = Classifier(classes=5, widths=widths)
    logits, params = jax.eval_shape(network.init_with_output, jax.random.key(0), jnp.zeros((2, *shape)))
    assert (logits.shape, logits.dtype) == ((2, 5), jnp.float32)
    features = jax.eval_shape(network.features, params, jnp.zeros((2, *shape)))
    assert features.shape == (2, widths[-1])


def test_logits_are_linear_in_the_features(params, apply):
    head = params["params"]["head"]
    features = np.asarray(jax.jit(NETWORK.features)(params, X), float)
    np.testing.assert_allclose(apply(params, X), features @ head["kernel"] + head["bias"], rtol=1e-4, atol=1e-4)
    assert np.ptp(features, axis=0).max() > 0.01  # they tell images apart


def test_each_image_is_treated_alone(params, apply):
    logits, changed = (np.asarray(apply(params, x)) for x in (X, X.at[1].mul(-2.0)))
    alone = np.arange(3) != 1
    np.testing.assert_array_equal(logits[alone], changed[alone])
    assert not np.any(np.isclose(logits[1], changed[1]))


def test_fold_keeps_each_pixel_and_repeats_an_odd_border():
    x = jnp.arange(2 * 3 * 4 * 2.0).reshape(2, 3, 4, 2)
    cells = fold(x)
    assert cells.shape == (2, 2, 2, 8)
    np.testing.assert_array_equal(cells[1, 0, 1].reshape(2, 2, 2), x[1, :2, 2:])
    np.testing.assert_array_equal(cells[1, 1, 1].reshape(2, 2, 2), x[1, [2, 2], 2:])


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (2, 1), (6, 1), (8, 2), (9, 1), (32, 8), (48, 4), (192, 8)])
def test_groups_of_channels_are_even_and_of_four_or_more(channels, groups):
    assert norm(channels).num_groups == groups
