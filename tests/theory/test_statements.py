"""The identities of the theory over 1,200 random and awkward instances, in float64, and its closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import ACCURACY, EPS, NUM, POINTS, Instances, many

from curated_retraining import theory

pytestmark = pytest.mark.usefixtures("float64")

TYPES = 3


@pytest.fixture(scope="module")
def crowds(instances):
    """Three types of annotators an instance, each with rewards of its own, at K = ∞."""
    rng = np.random.default_rng(5)
    others = -instances.r.min(axis=1)[:, None, None] * rng.uniform(-1, 0, (NUM, TYPES - 1, POINTS))
    r = np.concatenate([instances.r[:, None], others], axis=1)
    return instances.p, r, rng.dirichlet(np.ones(TYPES), NUM)


def test_the_gain_is_that_of_one_generation(instances):
    gain = many(lambda p, r, k, lam: theory.reward_gain(p, r, k=k), instances)
    later = many(lambda p, r, k, lam: theory.retrain(p, r, k=k, lam=jnp.inf, p_ref=p) @ jnp.exp(r), instances)
    mean = np.sum(instances.p * np.exp(instances.r), axis=1)
    np.testing.assert_allclose(gain, later - mean, atol=ACCURACY * mean.max(), rtol=ACCURACY)
    assert (gain[instances.k > 1] > 0).all()


def test_the_gain_is_variance_over_mean_of_the_candidates(instances):
    """E[V̂_K / ā_K], the biased variance over the mean of the K values of e^r, by enumeration."""
    small = instances._replace(k=np.array([2, 3, 5])[np.arange(NUM) % 3])
    gain = many(lambda p, r, k, lam: theory.reward_gain(p, r, k=k), small)
    for k, start in ((2, 0), (3, 1), (5, 2)):
        rows = np.array(list(itertools.product(range(POINTS), repeat=k)))
        for i in range(start, 60, 3):
            values, probability = np.exp(small.r[i])[rows], small.p[i][rows].prod(axis=1)
            expected = probability @ (values.var(axis=1) / values.mean(axis=1))
            np.testing.assert_allclose(gain[i], expected, rtol=ACCURACY)  # a small gain too


def test_a_constant_in_the_reward_scales_its_exponential(instances):
    """Rewards of all instances are at most 0: e^(r + 2) is e² times e^r, and so is what is told of its mean."""

    def told(p, r):
        floor = theory.reward_floor(p, r, k=3.3, lam=1.0)
        return jnp.stack([theory.reward_gain(p, r, k=3.3), theory.reward_increment_bound(p, r, k=3.3), floor])

    p, r = instances.p[:60], instances.r[:60]
    np.testing.assert_allclose(many(told, (p, r + 2)), np.exp(2) * many(told, (p, r)), rtol=1e-6, atol=1e-12)


def test_a_true_reward_rises_exactly_while_it_covaries_with_what_is_chosen_by(crowds):
    p, r, _ = crowds
    gain = many(lambda p, r: theory.reward_gain(p, r[0], k=jnp.inf, chosen_by=r[1]), (p, r))
    a, b = np.exp(r[:, 0]), np.exp(r[:, 1] - r[:, 1].max(axis=1, keepdims=True))
    covariance = np.sum(p * (a - np.sum(p * a, axis=1, keepdims=True)) * b, axis=1)
    np.testing.assert_allclose(gain, covariance / np.sum(p * b, axis=1), rtol=1e-9, atol=64 * EPS)
    clear = np.abs(covariance) > 1e-9
    assert (np.sign(gain) == np.sign(covariance))[clear].all()
    assert 0.1 < np.mean(covariance[clear] < 0) < 0.9


def test_no_threshold_of_the_reward_ever_loses_mass(instances):
    """E[f(r)] never decreases for nondecreasing f: enough to see for the steps of f."""
    course = many(lambda p, r, k, lam: theory.trajectory(p, r, k=k, lam=jnp.inf, num=8), instances)
    order = np.argsort(-instances.r, axis=1)
    above = np.cumsum(np.take_along_axis(course, order[:, None], axis=2), axis=2)
    assert (np.diff(above, axis=1) >= -ACCURACY * above[:, :-1]).all()


def test_the_divergence_to_the_pure_limit_only_shrinks(instances):
    def of(p, r, k, lam):
        course = theory.trajectory(p, r, k=k, lam=jnp.inf, num=8)
        limit = theory.pure_limit(p, r)
        log_ratio = jnp.where(limit[None] > 0, jnp.log(jnp.where(limit > 0, limit, 1.0)[None] / course), 0.0)
        stated = jax.vmap(theory.kl_to_pure_limit, in_axes=(0, None))(course, r)
        return jnp.stack([stated, log_ratio @ limit])

    stated, direct = np.moveaxis(many(of, instances), 1, 0)
    np.testing.assert_allclose(stated, direct, rtol=1e-9, atol=64 * EPS)
    assert (np.diff(stated, axis=1) <= ACCURACY).all()
    shrinks = (instances.k > 1.1) & (stated[:, 0] > 1e-6) & (np.sort(instances.r, axis=1)[:, -2] < -1e-3)
    assert shrinks.sum() > 0.5 * NUM and (np.diff(stated, axis=1)[shrinks, 0] < 0).all()


@pytest.mark.parametrize("k", [1, 2, 5, 40, 1000])
def test_the_two_level_map_is_a_generation(k):
    rng = np.random.default_rng(k)
    top, gap = 10 ** rng.uniform(-9, 0, 240), 10 ** rng.uniform(-3, 2, 240)

    def both(top, gap):
        p, r = jnp.stack([1 - top, top]), jnp.stack([-gap, 0 * gap])
        return theory.two_level_map(top, k=k, gap=gap), theory.retrain(p, r, k=k, lam=jnp.inf, p_ref=p)[1]

    stated, step = jax.jit(jax.vmap(both))(top, gap)
    np.testing.assert_allclose(stated, step, rtol=ACCURACY)


def test_two_levels_without_the_other_stay():
    np.testing.assert_allclose(
        [theory.two_level_map(top, k=4, gap=2.0) for top in (0.0, 1.0)], [0.0, 1.0], atol=4 * EPS
    )


def test_the_tilt_limit_is_a_fixed_point_at_infinite_k(instances):
    mixed = instances._replace(lam=np.where(np.isinf(instances.lam), 7.0, instances.lam))
    limit = many(lambda p, r, k, lam: theory.tilt_limit(p, r, lam=lam), mixed)
    back = many(lambda q, p, r, k, lam: theory.retrain(q, r, k=jnp.inf, lam=lam, p_ref=p), (limit, *mixed))
    np.testing.assert_allclose(back, limit, rtol=1e-9)
    np.testing.assert_allclose(limit.sum(axis=1), 1.0, rtol=1e-12)


def test_the_mixed_limit_is_found_in_float32(instances):
    """Wherever float64 finds it within 1,000 steps, to 2e-4 in total variation; K ≤ 1000 and λ ≤ 10."""
    few = Instances(*(value[::20] for value in instances))
    some = few._replace(k=np.minimum(few.k, 1000.0), lam=np.minimum(few.lam, 10.0))

    def limit(p, r, k, lam):
        return theory.mixed_limit(p, r, k=k, lam=lam, max_steps=1000)

    exact, found = many(limit, some), many(limit, [np.asarray(value, np.float32) for value in some])
    settled = np.isfinite(exact).all(axis=1)
    assert found.dtype == np.float32 and settled.mean() > 0.95
    assert 0.5 * np.abs(found - exact)[settled].sum(axis=1).max() < 2e-4


def test_what_condenses_is_what_a_fine_grid_piles_up():
    """a = 1 − √x on [0, 1]: E[1 / (1 − a)] = 2, so that 1 − 2 (1 − η) condenses at x = 0, where that is positive.

    Below x = 1e-4 the rest of the limit has (1 − η) 2 √x = 0.02 (1 − η).
    """
    edge = np.concatenate([[0.0], np.geomspace(1e-16, 1, 4000)])
    x, p = jnp.asarray((edge[1:] + edge[:-1]) / 2), jnp.asarray(np.diff(edge))
    r = jnp.log1p(-jnp.sqrt(x))
    for lam, expected in ((0.5, 0.0), (3.0, 0.5), (9.0, 0.8), (np.inf, 1.0)):
        condensed = theory.condensed_mass(p, r, lam=lam, best=0.0)
        np.testing.assert_allclose(condensed, expected, atol=1e-4)  # of the quadrature
        if lam not in (0.5, np.inf):  # below 0.5 nothing condenses, at infinity there is no such limit
            near = jnp.sum(jnp.where(x < 1e-4, theory.tilt_limit(p, r, lam=lam), 0.0))
            np.testing.assert_allclose(near, expected + 0.02 / (1 + lam), atol=2e-3)
    assert theory.condensed_mass(jnp.array([0.5, 0.5]), jnp.array([0.0, -1.0]), lam=9.0, best=0.0) == 0.0


def test_what_condenses_has_a_closed_form_for_powers():
    """a = 1 − x^α on [0, 1]: E[1 / (1 − a)] = 1 / (1 − α); the geometric cells of the quadrature are good to 5e-4."""
    rng = np.random.default_rng(8)
    power, lam = rng.uniform(0.05, 0.9, 1000), 10 ** rng.uniform(-3, 3, 1000)
    edge = np.concatenate([[0.0], np.geomspace(1e-100, 1, 4000)])  # 1e-10 of the integral is below, at α = 0.9
    x, p = jnp.asarray((edge[1:] + edge[:-1]) / 2), jnp.asarray(np.diff(edge))

    def condensed(power, lam):
        return theory.condensed_mass(p, jnp.log1p(-(x**power)), lam=lam, best=0.0)

    found = jax.jit(lambda *rows: jax.lax.map(lambda row: condensed(*row), rows))(power, lam)
    expected = np.maximum(1 - 1 / (1 + lam) / (1 - power), 0.0)
    np.testing.assert_allclose(found, expected, atol=5e-4 * 10)  # and the mean is at most 10
    assert 0.2 < np.mean(expected > 0) < 0.8


def test_the_potential_of_a_crowd_never_falls(crowds):
    def of(p, r, users):
        course = theory.trajectory(p, r, k=jnp.inf, lam=jnp.inf, num=8, users=users)
        return jax.vmap(theory.crowd_potential, in_axes=(0, None, None))(course, r, users)

    potential = many(of, crowds)
    assert (np.diff(potential, axis=1) >= -1e-12 * np.abs(potential[:, :-1])).all()
    assert (potential[:, -1] > potential[:, 0]).mean() > 0.9


def test_a_crowd_chooses_by_its_types_in_turn(crowds):
    """Against the mixture of the single operators; K = 3 of one instance by enumeration."""
    p, r, users = crowds
    ratio = many(lambda p, r, users: theory.crowd_operator(r, users)(p, 3.0), crowds)
    single = np.stack([many(lambda p, row: theory.k_way_ratio(p, row, 3.0), (p, r[:, u])) for u in range(TYPES)])
    np.testing.assert_allclose(ratio, np.einsum("nu,uns->ns", users, single), rtol=ACCURACY)
    rows = np.array(list(itertools.product(range(POINTS), repeat=3)))
    chosen = np.zeros(POINTS)
    for share, reward in zip(users[7], r[7], strict=True):
        a = np.exp(reward[rows])
        np.add.at(chosen, rows, share * p[7][rows].prod(axis=1, keepdims=True) * a / a.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(p[7] * ratio[7], chosen, rtol=ACCURACY)


def test_each_type_of_a_crowd_may_have_its_own_temperature():
    r, users, p = jnp.array([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0]]), jnp.array([0.3, 0.7]), jnp.array([0.2, 0.5, 0.3])
    mixed = theory.crowd_operator(r, users, temperature=np.array([0.5, 0.0]))(p, 3)
    soft, best = theory.k_way_ratio(p, r[0] / 0.5, 3), theory.k_way_ratio(p, r[1], 3, temperature=0.0)
    np.testing.assert_allclose(mixed, 0.3 * soft + 0.7 * best, rtol=ACCURACY)
    with pytest.raises(ValueError, match=r"temperature of shape \(3,\)"):
        theory.crowd_operator(r, users, temperature=jnp.ones(3))


def test_separated_basins_end_at_the_shares_of_their_types(crowds):
    """Each type likes one point by 60 and the rest alike: what the others like is worth e^−60 beside it."""
    p, _, users = crowds
    r = jnp.asarray(60.0 * (np.eye(POINTS)[:TYPES] - 1))
    limit = many(lambda p, users: theory.pluralistic_limit(p, r, users), (p, users))
    np.testing.assert_allclose(limit[:, :TYPES], users, rtol=1e-14)
    reached = many(lambda p, q: theory.trajectory(p, r, k=jnp.inf, lam=jnp.inf, num=40, users=q)[-1], (p, users))
    common = p[:, :TYPES].min(axis=1) > 1e-6
    np.testing.assert_allclose(reached[common], limit[common], atol=1e-9)
    assert common.sum() > 300


@pytest.mark.parametrize(("users", "message"), [(None, "needs users"), (jnp.ones(2) / 2, r"not \(2,\)")])
def test_a_crowd_needs_a_share_a_type(users, message):
    with pytest.raises(ValueError, match=message):
        theory.crowd_operator(jnp.zeros((3, 4)), users)


def test_the_loop_at_infinite_k_is_the_regularised_optimum(instances):
    """After t generations of temperature τ it is p_0 e^{tr/τ} / Z, hence β = τ / t, at no distance."""
    temperature, num = 2.0, 3

    def of(p, r, k, lam):
        last = theory.trajectory(p, r, k=jnp.inf, lam=jnp.inf, num=num, temperature=temperature)[-1]
        implied = theory.implied_rlhf(last, p, r)
        return jnp.concatenate([last, theory.rlhf_optimum(p, r, temperature / num), jnp.stack(implied)])

    found = many(of, instances)
    last, optimum, (beta, distance) = found[:, :POINTS], found[:, POINTS : 2 * POINTS], found[:, 2 * POINTS :].T
    np.testing.assert_allclose(last, optimum, rtol=1e-9)
    assert (np.abs(distance) < 1e-12).all()
    identified = np.sum(last * (instances.r - np.sum(last * instances.r, axis=1, keepdims=True)) ** 2, axis=1) > 1e-6
    np.testing.assert_allclose(beta[identified], temperature / num, rtol=1e-5)
    assert identified.sum() > 0.5 * NUM


def test_the_implied_optimum_is_the_nearest_one(instances):
    """At finite K, KL(p_t ‖ optimum) is no smaller at a β one per cent off, nor zero."""

    def of(p, r, k, lam):
        last = theory.trajectory(p, r, k=k, lam=jnp.inf, num=2)[-1]
        beta, distance = theory.implied_rlhf(last, p, r)
        others = [theory.rlhf_optimum(p, r, beta * factor) for factor in (1.0, 0.99, 1.01)]
        away = [jnp.sum(jnp.where(last > 0, last * jnp.log(last / other), 0.0)) for other in others]
        return jnp.stack([beta, distance, *away])

    some = instances._replace(k=np.full(NUM, 4.0), r=np.maximum(instances.r, -20.0))
    beta, distance, at, below, above = many(of, some).T
    assert (beta > 0).all()
    np.testing.assert_allclose(distance, at, rtol=1e-6, atol=1e-12)
    assert (distance <= np.minimum(below, above) + 1e-12).all()
    assert (distance[some.r.min(axis=1) < -5] > 1e-6).mean() > 0.5


def test_the_optimum_trades_reward_for_divergence_best(instances):
    def value(p, q, r):
        return p @ r - 0.5 * jnp.sum(jnp.where(p > 0, p * jnp.log(p / q), 0.0))

    def of(other, p, r):
        optimum = theory.rlhf_optimum(p, r, 0.5)
        return jnp.stack([value(optimum, p, r), value(0.9 * optimum + 0.1 * other, p, r)])

    other = np.random.default_rng(6).dirichlet(np.ones(POINTS), NUM)
    best, mixed = many(of, (other, instances.p, np.maximum(instances.r, -20.0))).T
    assert (best >= mixed).all()


def test_without_curation_a_gaussian_comes_back_at_the_stated_rate():
    """Maximum likelihood on (1 − η) p_ref + η p_t keeps the mean and the second moment; p_ref is standard normal."""
    rng = np.random.default_rng(7)
    lam, mean = 10 ** rng.uniform(-1, 3, 1000), 1e-4 * rng.normal(size=1000)
    second, share = 1 + 1e-4 * rng.normal(size=1000), lam / (1 + lam)

    def divergence(mean, second):
        change = second - 1 - mean**2  # the variance less one
        return 0.5 * (mean**2 + change - np.log1p(change))

    rate = divergence(share * mean, 1 + share * (second - 1)) / divergence(mean, second)
    np.testing.assert_allclose(rate, theory.uncurated_kl_rate(jnp.asarray(lam)), rtol=1e-3)
