"""The sampled loop follows the exact one: two programs that share no code, compared in standard errors.

Given p_t, the n = pool / K choices are independent draws of q_t = p_t H^K, so the sampled loop is
p_{t+1} = (1 − η) p_ref + η · multinomial(n, q_t) / n. Its error from the exact course is, to first order in 1/√n,
normal of mean zero with the covariance C_0 = 0, C_{t+1} = J_t C_t J_tᵀ + η² (diag q_t − q_t q_tᵀ) / n, where J_t is the
derivative of one generation at p_t.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, norm

import curated_retraining as cr
from curated_retraining import theory

SUPPORT = np.arange(6, dtype=np.float32)[:, None]
START = np.array([0.3, 0.1, 0.05, 0.25, 0.1, 0.2], np.float32)
REWARD = np.array([0.0, 0.4, 1.0, 0.2, 1.0, 0.7], np.float32)  # two points tie
GENERATIONS, SEEDS = 6, 4


@pytest.mark.statistical
@pytest.mark.parametrize(("k", "temperature", "pool_size"), [(2, 0.5, 100_000), (3, 1.5, 100_002), (7, 1.5, 100_002)])
def test_the_sampled_loop_follows_the_exact_one(k, temperature, pool_size):
    mixings = {0.5: cr.with_real(0.5), 3.0: cr.with_real(3.0), np.inf: cr.with_real(jnp.inf)}
    _assert_agreement(k, temperature, pool_size, mixings)


@pytest.mark.statistical
def test_the_pure_loop_follows_the_exact_one():
    _assert_agreement(3, 0.7, 100_002, {np.inf: cr.replace()})


def test_generation_zero_is_the_weighted_data():
    real = cr.Dataset(jnp.asarray(SUPPORT), jnp.asarray(START))
    state = cr.start(jax.random.key(0), cr.finite(real.x), cr.replace(), real, slot=10)
    np.testing.assert_array_equal(state.model, START)
    assert state.generation == 0


def _assert_agreement(k, temperature, pool_size, mixings):
    """Each generation's distance from the exact course, and the noise of all of them together, lie within 5 σ."""
    course = _course(k, pool_size)
    for lam, mixing in mixings.items():
        keys = jax.random.split(jax.random.key(k), SEEDS)
        sampled = np.array([course(mixing, key, jnp.float32(temperature)) for key in keys], float)
        with jax.enable_x64(True):
            exact, chosen, jacobian = (np.asarray(value) for value in _linearised(float(k), temperature, lam))
        share = 1 / (1 + 1 / lam)
        noise = [share**2 * (np.diag(q) - np.outer(q, q)) / (pool_size // k) for q in chosen]
        assert exact.min() > 50 * k / pool_size  # counts large enough to be normal
        np.testing.assert_allclose(sampled[:, 0], np.broadcast_to(exact[0], (SEEDS, 6)), rtol=1e-6)  # float32

        error, covariance, total = sampled - exact, np.zeros((6, 6)), 0.0  # error [seed, generation, point]
        for t in range(GENERATIONS):
            covariance = jacobian[t] @ covariance @ jacobian[t].T + noise[t]
            assert _sigmas(_squares(error[:, t + 1], covariance), 5 * SEEDS) < 5, (lam, t)
            total += _squares(error[:, t + 1] - error[:, t] @ jacobian[t].T, noise[t])
        assert _sigmas(total, 5 * SEEDS * GENERATIONS) < 5, lam


def _squares(error, covariance):
    """The squared errors of all seeds in standard errors; of six numbers that add up to zero five are free."""
    free, inverse = error[:, 1:], np.linalg.inv(covariance[1:, 1:])
    return np.einsum("si,ij,sj", free, inverse, free)


def _sigmas(squares, degrees):
    """How far in the tail of χ² a sum of squares lies, on either side, as standard deviations of a normal."""
    return np.abs(norm.ppf(chi2.cdf(squares, degrees)))


@cache
def _course(k, pool_size):
    """`(mixing, key, temperature)` -> the probabilities of the sampled model in generations 0, 1, ..."""
    real = cr.Dataset(jnp.asarray(SUPPORT), jnp.asarray(START))
    model = cr.finite(real.x)

    def probabilities(record):
        return {"p": record.model}

    @jax.jit
    def course(mixing, key, temperature):
        step = cr.retraining(
            model,
            reward=lambda x: jnp.asarray(REWARD)[x[:, 0].astype(int)],
            curate=cr.k_way(k, cr.luce(temperature)),
            mixing=mixing,
            pool_size=pool_size,
            metrics=probabilities,
        )
        start_key, run_key = jax.random.split(key)
        state = cr.start(start_key, model, mixing, real, slot=pool_size // k)
        return cr.run(run_key, state, step, GENERATIONS + 1)[1]["p"]

    return course


@jax.jit
def _linearised(k, temperature, lam):
    """The exact course, what is chosen in each of its generations, and the derivative of each."""
    p_ref, r = jnp.asarray(START, float), jnp.asarray(REWARD, float)

    def generation(p, lam):
        return theory.retrain(p, r, k=k, lam=lam, p_ref=p_ref, temperature=temperature)

    exact = theory.trajectory(p_ref, r, k=k, lam=lam, num=GENERATIONS, temperature=temperature)
    chosen = jax.vmap(lambda p: generation(p, jnp.inf))(exact)
    return exact, chosen, jax.vmap(jax.jacfwd(lambda p: generation(p, lam)))(exact)
