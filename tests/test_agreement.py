"""The sampled loop follows the exact one: two programs that share no code, compared in standard errors.

Given p_t, the n = pool / K choices are independent draws of q_t = p_t H^K, so the sampled loop is
p_{t+1} = (1 − η) p_ref + η · multinomial(n, q_t) / n. Its error from the exact course is, to first order in 1/√n,
normal of mean zero with the covariance C_0 = 0, C_{t+1} = J_t C_t J_tᵀ + η² (diag q_t − q_t q_tᵀ) / n, where J_t is the
derivative of one generation at p_t.
"""

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


@pytest.mark.parametrize(("k", "temperature", "pool_size"), [(2, 0.5, 300_000), (3, 1.5, 300_000), (7, 1.5, 300_006)])
def test_the_sampled_loop_follows_the_exact_one(k, temperature, pool_size):
    mixings = {0.5: cr.with_real(0.5), 3.0: cr.with_real(3.0), np.inf: cr.with_real(jnp.inf)}
    _assert_agreement(k, temperature, pool_size, mixings)


def test_the_pure_loop_follows_the_exact_one():
    _assert_agreement(3, 0.7, 300_000, {np.inf: cr.replace()})


def test_generation_zero_is_the_weighted_data():
    real = cr.Dataset(jnp.asarray(SUPPORT), jnp.asarray(START))
    state = cr.start(jax.random.key(0), cr.finite(real.x), cr.replace(), real, slot=10)
    np.testing.assert_array_equal(state.model, START)
    assert state.generation == 0


def _assert_agreement(k, temperature, pool_size, mixings):
    """Squared errors in standard errors add up to χ² of 5 · SEEDS degrees: within its quantiles at ±5 σ.

    Too large a sum is another course, or choices that are not independent; too small a one is noise they do not make.
    """
    course = jax.jit(_course(k, pool_size))
    for lam, mixing in mixings.items():
        keys = jax.random.split(jax.random.key(k), SEEDS)
        sampled = np.array([course(mixing, key, jnp.float32(temperature)) for key in keys], float)
        exact, covariance = _exact(k, temperature, lam, pool_size // k)
        assert exact.min() > 50 * k / pool_size  # counts large enough to be normal
        np.testing.assert_allclose(sampled[:, 0], np.broadcast_to(exact[0], (SEEDS, 6)), rtol=1e-6)  # float32
        for t in range(1, GENERATIONS + 1):
            error = (sampled[:, t] - exact[t])[:, 1:]  # the six add up to zero: five are free
            squares = np.einsum("si,ij,sj", error, np.linalg.inv(covariance[t][1:, 1:]), error)
            assert np.abs(norm.ppf(chi2.cdf(squares, error.size))) < 5, (lam, t, squares)


def _course(k, pool_size):
    """`(mixing, key, temperature)` -> the probabilities of the sampled model in generations 0, 1, ..."""
    real = cr.Dataset(jnp.asarray(SUPPORT), jnp.asarray(START))
    model = cr.finite(real.x)

    def probabilities(record):
        return {"p": record.model}

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


def _exact(k, temperature, lam, num_choices):
    """The exact course `[generation, point]` and the covariance of the sampled one's error around it."""
    with jax.enable_x64(True):
        exact, chosen, jacobians = (np.asarray(value) for value in _linearised(float(k), temperature, lam))
    share = lam / (1 + lam) if lam < np.inf else 1.0
    covariance = [np.zeros((6, 6))]
    for jacobian, q in zip(jacobians, chosen, strict=True):
        noise = share**2 * (np.diag(q) - np.outer(q, q)) / num_choices
        covariance.append(jacobian @ covariance[-1] @ jacobian.T + noise)
    return exact, covariance


@jax.jit
def _linearised(k, temperature, lam):
    p_ref, r = jnp.asarray(START, float), jnp.asarray(REWARD, float)

    def generation(p, lam):
        return theory.retrain(p, r, k=k, lam=lam, p_ref=p_ref, temperature=temperature)

    exact = theory.trajectory(p_ref, r, k=k, lam=lam, num=GENERATIONS, temperature=temperature)
    chosen = jax.vmap(lambda p: generation(p, jnp.inf))(exact)
    return exact, chosen, jax.vmap(jax.jacfwd(lambda p: generation(p, lam)))(exact)
