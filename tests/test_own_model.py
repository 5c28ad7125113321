"""The networks of `docs/howto/own_model.md`, in flax nnx, equinox and plain functions, as models."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_examples import blocks

import curated_retraining as cr

PAGE = "docs/howto/own_model.md"
MEAN, SD, NUM = jnp.array([1.0, -0.5]), 0.5, 2000


@pytest.fixture(scope="module")
def page():
    """The names of the page but for its last block, which plays `of_plain`."""
    names = {"__name__": "page"}
    for block in blocks(PAGE, "python")[:-1]:
        exec(compile(block, PAGE, "exec"), names)
    return names


@partial(jax.jit, static_argnums=0)
def fitted(model, key, data):
    """The states before and after a fit, samples of it, and the mean log densities of both."""
    init_key, fit_key, sample_key = jax.random.split(key, 3)
    begin = model.init(init_key, data.x)
    state = model.fit(fit_key, begin, data)
    scores = jnp.stack([data.weight @ model.log_prob(each, data.x) for each in (begin, state)])
    return begin, state, model.sample(sample_key, state, NUM), scores


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["of_nnx", "of_equinox", pytest.param("of_plain", marks=pytest.mark.long)])
def test_a_network_becomes_a_model_that_fits_weighted_points(page, name):
    """Every second point lies elsewhere, with weight zero."""
    far = jnp.arange(NUM) % 2
    x = MEAN[None] + SD * jax.random.normal(jax.random.key(0), (NUM, 2)) + 5.0 * far[:, None]
    data = cr.Dataset(x, (1.0 - far) / (NUM / 2))
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):  # as a user has it
        begin, state, drawn, (before, after) = fitted(page[name], jax.random.key(1), data)
    chex.assert_trees_all_equal_shapes_and_dtypes(begin, state)
    best = -2 * (np.log(SD) + 0.5 * np.log(2 * np.pi * np.e))  # the mean of the true log density, whose sd is 1
    assert before < best - 0.5 and abs(after - best) < 4.5 / np.sqrt(NUM / 2)
    error = SD * np.sqrt(1 / (NUM / 2) + 1 / NUM)  # of the mean of NUM samples of what is fitted to NUM / 2 points
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN, atol=6 * error)  # 4.5 of them: batches add a quarter
    np.testing.assert_allclose(drawn.std(axis=0), SD, atol=6 * error / np.sqrt(2))
