from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import curated_retraining as cr
from curated_retraining import alignment, theory

REWARD = jnp.array([0.0, 0.8, -0.5, 1.5])
P_REF = jnp.array([0.4, 0.3, 0.2, 0.1])
SUPPORT = jnp.arange(4.0)[:, None]
CHOICE = cr.luce(0.8)


def reward(x):
    return REWARD[x[:, 0].astype(int)]


def test_the_pairs_are_those_that_the_curator_of_two_decides():
    pool = jax.random.normal(jax.random.key(0), (40, 2))
    felt = pool[:, 0]
    data = alignment.pairs(CHOICE)(jax.random.key(1), pool, felt)
    curated = cr.k_way(2, CHOICE)(jax.random.key(1), pool, felt)
    np.testing.assert_array_equal(data.x.chosen, curated.x)
    np.testing.assert_array_equal(data.weight, curated.weight)
    both = np.stack([data.x.chosen, data.x.rejected], axis=1)
    order = np.sort(both[..., 0], axis=1)
    np.testing.assert_array_equal(order, np.sort(pool.reshape(20, 2, 2)[..., 0], axis=1))


def test_pairs_that_cannot_be_decided_are_reported():
    data = alignment.pairs(CHOICE)(jax.random.key(1), SUPPORT, jnp.array([0.0, jnp.nan, 1.0, 2.0]))
    assert np.isnan(data.weight).all()


def test_a_refit_to_many_pairs_is_the_regularised_optimum(assert_mean):
    """16 × 10,000 pairs: the mean of the shares within its standard errors, and 0.004 of the optimiser.

    The reference is not the law that the pairs were drawn from, and β is data: one program takes both values.
    """
    reference = jnp.array([0.25, 0.25, 0.3, 0.2])

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def refitted(key, beta):
        pool_key, curate_key, fit_key = jax.random.split(key, 3)
        family = alignment.softmax(SUPPORT)
        rate = optax.cosine_decay_schedule(1.0, 600)
        model = alignment.dpo(
            cr.finite(SUPPORT), family, beta=beta, steps=600, batch_size=256, ema=0.0,
            learning_rate=lambda step: 0.05 / beta * rate(step),
        )  # fmt: skip
        pool = model.sample(pool_key, P_REF, 20_000)
        return model.fit(fit_key, reference, alignment.pairs(CHOICE)(curate_key, pool, reward(pool)))

    for beta in (0.5, 2.0):
        optimum = theory.rlhf_optimum(reference, REWARD, 0.8 * beta)
        with jax.debug_key_reuse(False):  # which takes the keys of a scan under vmap for used ones
            assert_mean(refitted(jax.random.split(jax.random.key(0), 16), beta), optimum, bias=0.004)
        assert np.abs(reference - optimum).max() > 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: alignment.dpo(cr.finite(SUPPORT), alignment.softmax(SUPPORT), beta=0.0), "beta=0.0 is not"),
        (lambda: alignment.pairs(CHOICE)(jax.random.key(0), SUPPORT[:3], REWARD[:3]), "a pool of 3 does not split"),
        (lambda: alignment.network(cr.ddpm(None, betas=jnp.ones(2) / 2)), "no log_prob"),
    ],
)
def test_mistakes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
