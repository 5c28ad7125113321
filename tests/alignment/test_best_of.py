import jax
import jax.numpy as jnp
import numpy as np
import pytest

import curated_retraining as cr
from curated_retraining import alignment, theory

REWARD = jnp.array([0.0, 1.0, 1.0, 2.0])
P_REF = jnp.array([0.6, 0.2, 0.15, 0.05])  # so that none is rare, even of five


def test_n_is_data_and_the_law_is_the_exact_one(assert_mean):
    """8,000 groups of 5 for each n by one program."""

    @jax.jit
    def kept(key, n):
        draw_key, curate_key = jax.random.split(key)
        x = jax.random.choice(draw_key, 4, (40_000,), p=P_REF)
        return cr.k_way(5, alignment.best_of(n))(curate_key, x, REWARD[x])

    for n in (1, 2, 5):
        curated = kept(jax.random.key(n), n)
        assert_mean(jax.nn.one_hot(curated.x, 4), theory.best_of_n(P_REF, REWARD, n))
        np.testing.assert_allclose(curated.weight, 1 / 8000, rtol=1e-6)
    assert np.isnan(kept(jax.random.key(6), 6).weight).all()  # a group of 5 has no best of 6


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="n=0 leaves nothing to choose from"):
        alignment.best_of(0)
