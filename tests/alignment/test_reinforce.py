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
NOTHING = cr.uniform(jnp.zeros((1, 1)))


def reward(x):
    return REWARD[x[:, 0].astype(int)]


def refit(beta, steps, samples, rate):
    model = alignment.reinforce(
        cr.finite(SUPPORT), alignment.softmax(SUPPORT), reward, beta=beta, samples=samples, steps=steps, ema=0.0,
        optimizer=optax.sgd(rate),
    )  # fmt: skip
    return jax.jit(lambda key: jax.lax.map(lambda key: model.fit(key, P_REF, NOTHING), jax.random.split(key, 400)))


def test_one_step_is_unbiased(assert_mean):
    """400 steps from p_ref with 16 samples each: the logits move by the exact gradient, 4.5 standard errors."""
    rate = 1e-3  # so small that probabilities move in proportion to logits
    p = refit(0.5, 1, 16, rate)(jax.random.key(0))
    exact = theory.policy_gradient(P_REF, REWARD, beta=0.5, rate=rate, num=1)[1]
    moved = np.log(p) - np.log(P_REF)
    assert_mean(moved[:, 1:] - moved[:, :1], (np.log(exact / P_REF))[1:] - np.log(exact[0] / P_REF[0]))


def test_it_climbs_to_the_regularised_optimum_where_its_noise_dies():
    """300 steps of 64 samples at rate 1: 400 runs end within 1e-3 of the optimum, each of them."""
    p = refit(1.0, 300, 64, 2.0)(jax.random.key(1))
    np.testing.assert_allclose(p, np.broadcast_to(theory.rlhf_optimum(P_REF, REWARD, 1.0), p.shape), atol=1e-3)


def test_a_network_climbs_too():
    """A flow on a line from N(0, 1): for r = x and β = 1/2 the optimum is N(2, 1), with E[r] − β KL = 1; 0 before."""
    model = cr.flow(layers=2, bins=4, width=8, depth=0, steps=1)
    state = model.init(jax.random.key(0), jnp.zeros((2, 1)))
    optimised = alignment.reinforce(
        model, alignment.network(model), lambda x: x[:, 0], beta=0.5, samples=128, steps=300, learning_rate=1e-2
    )
    after = jax.jit(optimised.fit)(jax.random.key(1), state, NOTHING)
    x = jnp.linspace(-5, 5, 2001)[:, None]
    log_p = model.log_prob(after, x)
    p = jnp.exp(log_p) * 0.005
    value = p @ (x[:, 0] - 0.5 * (log_p - jax.scipy.stats.norm.logpdf(x[:, 0])))
    np.testing.assert_allclose(p.sum(), 1.0, atol=5e-3)
    assert 0.9 < value < 1.005  # of which 1 is the most, and the grid's sum is good to 5e-3


@pytest.mark.parametrize(
    ("options", "message"), [({"beta": -1.0}, "beta=-1.0 is not"), ({"beta": 1.0, "samples": 1}, "samples=1 leaves")]
)
def test_mistakes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        alignment.reinforce(cr.finite(SUPPORT), alignment.softmax(SUPPORT), reward, **options)
