"""Preference optimisation on finite supports, in float64, over the 1,200 instances of the theory; float32 beside it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import EPS, POINTS, Instances, many

from curated_retraining import theory

pytestmark = pytest.mark.usefixtures("float64")

BETA = 0.5


@pytest.fixture(scope="module")
def tame(instances):
    """Every tenth instance, with rewards over at most 3 and no level rarer than 1e-2."""
    p = np.maximum(instances.p[::10], 1e-2)
    r = instances.r[::10]
    r = 3 * r / np.maximum(-r.min(axis=1, keepdims=True), 3)
    return Instances(p / p.sum(axis=1, keepdims=True), r, instances.k[::10], instances.lam[::10])


def laws(p, r, k, lam):
    """Of every method and the loop, `[m, s]`."""
    return jnp.concatenate([
        theory.best_of_n(p, r, k)[None],
        theory.policy_gradient(p, r, beta=0.1, rate=0.5, num=60)[1::10],
        theory.rlhf_optimum(p, r, 0.3)[None],
        theory.trajectory(p, r, k=k, lam=lam, num=4),
    ])  # fmt: skip


def test_no_method_lies_above_the_frontier(instances):
    """E[r] ≤ β KL + β log E_ref[e^{r/β}] for every β (Donsker, Varadhan), with equality at the optimum alone."""

    def slack(p, r, k, lam):
        kl, reward = theory.tradeoff(laws(p, r, k, lam), p, r)
        beta = -r.min() * jnp.geomspace(1e-2, 1e2, 30)
        ceiling = jax.vmap(lambda b: b * kl + b * jax.nn.logsumexp(r / b, b=p))(beta)
        return jnp.append((ceiling - reward[None]).ravel(), jnp.zeros(1)) / -r.min()

    assert (many(slack, instances) > -1e-10).all()

    def tight(p, r, k, lam):
        kl, reward = theory.tradeoff(theory.rlhf_optimum(p, r, 0.3), p, r)
        return 0.3 * kl + 0.3 * jax.nn.logsumexp(r / 0.3, b=p) - reward

    np.testing.assert_allclose(many(tight, instances), 0.0, atol=1e-12)


def test_how_far_a_method_is_off_the_frontier_is_its_kl_beyond_the_least_at_its_reward(tame):
    def both(p, r, k, lam):
        law = theory.best_of_n(p, r, 3.0)
        beta, distance = theory.implied_rlhf(law, p, r)
        kl, reward = theory.tradeoff(jnp.stack([law, theory.rlhf_optimum(p, r, beta)]), p, r)
        return jnp.stack([distance, kl[0] - kl[1], reward[0] - reward[1]])

    distance, gap, moved = many(both, tame).T
    np.testing.assert_allclose(gap, distance, atol=1e-9)
    np.testing.assert_allclose(moved, 0.0, atol=1e-9)
    assert distance.max() > 1e-3


def test_tradeoff_counts_nothing_where_there_is_no_mass():
    kl, reward = theory.tradeoff(
        jnp.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), jnp.array([0.25, 0.25, 0.5]), jnp.arange(3.0)
    )
    np.testing.assert_allclose(kl, np.log([2, 4]), rtol=4 * EPS)
    np.testing.assert_allclose(reward, [0.5, 0.0])
    assert theory.tradeoff(jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0]), jnp.zeros(2)).kl == np.inf


@pytest.mark.parametrize("n", [2, 3, 5])
def test_best_of_n_is_that_of_all_groups(tame, n):
    tied = tame._replace(r=np.round(tame.r))  # equal rewards share evenly
    law = many(lambda p, r, k, lam: theory.best_of_n(p, r, n), tied)
    rows = np.array(list(itertools.product(range(POINTS), repeat=n)))
    for p, r, found in zip(tied.p[:20], tied.r[:20], law[:20], strict=True):
        best = r[rows] == r[rows].max(axis=1, keepdims=True)
        expected = np.zeros(POINTS)
        np.add.at(expected, rows, p[rows].prod(axis=1, keepdims=True) * best / best.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_best_of_n_stays_below_its_ceiling_and_comes_near_it(instances):
    whole = instances._replace(k=np.where(np.isinf(instances.k), 9.0, instances.k))

    def both(p, r, k, lam):
        return jnp.stack([theory.tradeoff(theory.best_of_n(p, r, k), p, r).kl, theory.best_of_n_kl_ceiling(k)])

    kl, ceiling = many(both, whole).T
    assert (kl <= ceiling + 1e-12).all()
    even, rank = jnp.full(1000, 1 / 1000), jnp.arange(1000.0)
    for n in (2, 4, 16):
        near = theory.tradeoff(theory.best_of_n(even, rank, n), even, rank).kl
        np.testing.assert_allclose(near, theory.best_of_n_kl_ceiling(n), rtol=5e-3)
    assert theory.best_of_n_kl_ceiling(1) == 0


def test_the_loss_of_dpo_is_that_of_all_pairs(tame):
    p, r = jnp.asarray(tame.p[3]), jnp.asarray(tame.r[3])
    pool, log_p = jnp.asarray(tame.p[5]), jnp.log(jnp.asarray(tame.p[7]))
    h = np.asarray(log_p - jnp.log(p))
    expected = 0.0
    for i, j in itertools.product(range(POINTS), repeat=2):
        wins = 1 / (1 + np.exp(-(r[i] - r[j]) / 0.7))
        for chance, gap in ((wins, h[i] - h[j]), (1 - wins, h[j] - h[i])):
            expected += pool[i] * pool[j] * chance * np.log1p(np.exp(-BETA * gap))
    found = theory.dpo_loss(log_p, p, r, beta=BETA, temperature=0.7, pool=pool)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_optimum_of_dpo_is_the_regularised_optimum(tame):
    """By Newton's method in the logits from p_ref, on pairs of the instance's own pool; the loss is convex."""

    def least(p, r, k, lam):
        pool = jnp.flip(p)

        def loss(logits):
            log_p = jax.nn.log_softmax(logits)
            return theory.dpo_loss(log_p, p, r, beta=BETA, temperature=2.0, pool=pool)

        def newton(logits, _):
            curvature = jax.hessian(loss)(logits) + jnp.full((POINTS, POINTS), 1.0)  # a constant changes nothing
            return logits - jnp.linalg.solve(curvature, jax.grad(loss)(logits)), None

        logits = jax.lax.scan(newton, jnp.log(p), length=12)[0]
        return jnp.stack([jax.nn.softmax(logits), theory.rlhf_optimum(p, r, 2.0 * BETA)])

    found, optimum = np.moveaxis(many(least, tame), 1, 0)
    np.testing.assert_allclose(found, optimum, rtol=1e-8)


def test_policy_gradient_climbs_to_the_regularised_optimum(tame):
    def of(p, r, k, lam):
        course = theory.policy_gradient(p, r, beta=2.0, rate=1.0, num=4000)
        kl, reward = theory.tradeoff(course[::40], p, r)
        return reward - 2 * kl, course[-1] - theory.rlhf_optimum(p, r, 2.0), course[0] - p, course[1]

    value, away, before, after = jax.jit(jax.vmap(of))(*(jnp.asarray(value) for value in tame))
    assert (np.diff(value, axis=1) >= -1e-13).all()
    assert np.abs(away).max() < 1e-6 and np.abs(before).max() < 1e-15

    def value_of(logits, p, r):
        kl, reward = theory.tradeoff(jax.nn.softmax(logits), p, r)
        return reward - 2 * kl

    slope = jax.vmap(jax.grad(value_of))(jnp.log(tame.p), jnp.asarray(tame.p), jnp.asarray(tame.r))
    np.testing.assert_allclose(after, jax.nn.softmax(jnp.log(tame.p) + slope, axis=1), rtol=1e-12)


def test_rounds_of_reward_weighted_regression_are_the_optimum_of_beta_over_their_number(tame):
    """p' ∝ p e^r three times, by hand."""
    weighted = tame.p * np.exp(3 * tame.r)
    optimum = many(lambda p, r, k, lam: theory.rlhf_optimum(p, r, 1 / 3), tame)
    np.testing.assert_allclose(optimum, weighted / weighted.sum(axis=1, keepdims=True), rtol=1e-12)
    loop = many(lambda p, r, k, lam: theory.trajectory(p, r, k=jnp.inf, lam=jnp.inf, num=3)[-1], tame)
    np.testing.assert_allclose(loop, optimum, rtol=1e-12)


def test_float32_is_near_float64(tame):
    def of(p, r, k, lam):
        law = theory.best_of_n(p, r, 4.0)
        kl, reward = theory.tradeoff(law, p, r)
        loss = theory.dpo_loss(jnp.log(law), p, r, beta=BETA)
        course = theory.policy_gradient(p, r, beta=BETA, rate=1.0, num=60)[-1]
        return jnp.concatenate([law, course, jnp.stack([kl, reward, loss])])

    double, single = many(of, tame), many(of, [np.asarray(value, np.float32) for value in tame])
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=2e-5, atol=2e-6)


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match=r"n=0\.5 is not a number of draws"):
        theory.best_of_n_kl_ceiling(0.5)
