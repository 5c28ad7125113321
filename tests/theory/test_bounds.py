"""Bounds hold over 1,200 random and awkward instances, and are as sharp as they are said to be."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import ACCURACY, EPS, GENERATIONS, NUM, POINTS, many

from curated_retraining import theory

pytestmark = pytest.mark.usefixtures("float64")


def test_the_increment_bound_holds(instances):
    bound = many(_increment_bound, instances)
    mean, later = _mean_and_next(instances)
    assert (bound[instances.k > 1] > 0).all()
    assert (later - mean >= bound - ACCURACY * mean).all()
    told_apart = bound > 10 * ACCURACY * mean
    assert told_apart.sum() > 0.9 * NUM
    assert (later > mean)[told_apart].all()


def test_the_increment_bound_could_not_be_a_percent_larger(near_tight):
    bound = many(_increment_bound, near_tight)
    mean, later = _mean_and_next(near_tight)
    assert (later - mean >= bound).all()
    assert (later - mean < 1.01 * bound).all()


def test_the_increment_is_variance_over_mean_of_the_candidates(instances):
    """E[V̂_K / ā_K], the biased variance over the mean of the K values of e^r, by enumeration."""
    small = instances._replace(k=np.array([2, 3, 5])[np.arange(NUM) % 3])
    mean, later = _mean_and_next(small)
    for k, start in ((2, 0), (3, 1), (5, 2)):
        rows = np.array(list(itertools.product(range(POINTS), repeat=k)))
        for i in range(start, 60, 3):
            values, probability = np.exp(small.r[i])[rows], small.p[i][rows].prod(axis=1)
            expected = probability @ (values.var(axis=1) / values.mean(axis=1))
            np.testing.assert_allclose(later[i] - mean[i], expected, rtol=ACCURACY, atol=64 * EPS * mean[i])


def test_the_increment_bound_looks_at_rewards_that_have_mass():
    p, r = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.0, 1.0, 90.0])
    variance = 0.25 * (np.e - 1) ** 2
    np.testing.assert_allclose(theory.reward_increment_bound(p, r, k=4), 0.75 * variance / np.e, rtol=1e-14)
    np.testing.assert_allclose(theory.reward_increment_bound(p, r, k=jnp.inf), variance / np.e, rtol=1e-14)


def test_the_reward_floors_hold_and_the_lower_order_is_the_higher_floor(instances):
    mean = np.sum(many(_course, instances) * np.exp(instances.r)[:, None], axis=2)
    sharp, middle, paper = np.moveaxis(many(_floors, instances), 1, 0)
    assert (mean[:, 1:] >= sharp[:, None] * (1 - ACCURACY)).all()
    assert (sharp >= middle).all() and (middle >= paper).all()


def test_the_reward_floor_could_not_be_a_percent_larger(near_tight):
    """Of order 1 for any λ, of the others for small λ, where they agree."""
    course, floors = many(_course, near_tight), many(_floors, near_tight)
    mean, later = (np.sum(course[:, t] * np.exp(near_tight.r), axis=1) for t in (0, 1))
    assert (later >= floors[:, 0] * (1 - EPS)).all()
    assert (later - mean < 1.01 * (floors[:, 0] - mean)).all()
    small = near_tight.lam < 3e-3
    assert small.sum() > 50
    assert (later - mean < 1.01 * (floors[:, 2] - mean))[small].all()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_reward_floor_adds_its_share_of_the_increment_bound(order):
    p, r, lam = jnp.array([0.2, 0.5, 0.3]), jnp.array([1.0, 0.0, 2.0]), jnp.array([0.0, 0.25, 3.0, jnp.inf])
    bound = theory.reward_increment_bound(p, r, k=5)
    factor = [0.0, 0.25 / 1.25**order, 3 / 4**order, float(order == 1)]
    floor = theory.reward_floor(p, r, k=5, lam=lam, order=order)
    np.testing.assert_allclose(floor, p @ jnp.exp(r) + np.array(factor) * bound, rtol=1e-14)


def test_the_kl_ceiling_bounds_every_log_ratio(instances):
    rng = np.random.default_rng(2)
    k = np.where(np.isinf(instances.k), 1000.0, instances.k)
    stable = instances._replace(k=k, lam=rng.uniform(0, 0.99, NUM) / np.maximum(k - 1, 1e-3))
    ratio = np.log(many(_course, stable) / stable.p[:, None])
    ceiling = many(_ceiling, stable)[:, None]
    assert np.isfinite(ceiling).all()
    assert (ratio.max(axis=2) <= ceiling + ACCURACY).all()
    divergence = np.sum(stable.p[:, None] * np.exp(ratio) * ratio, axis=2)
    assert (divergence <= ceiling + ACCURACY).all()


def test_a_bounded_reward_puts_effective_k_in_the_place_of_k(instances):
    ceiling = many(_bounded_ceiling, instances)
    stable = np.isfinite(ceiling)
    assert 0.1 * NUM < stable.sum() < NUM
    ratio = np.max(many(_course, instances) / instances.p[:, None], axis=(1, 2))
    assert (np.log(ratio[stable]) <= ceiling[stable] + ACCURACY).all()


def test_real_data_keep_their_share(instances):
    """KL(p_ref ‖ p_t) ≤ log(1 + λ), as no point falls below (1 − η) p_ref."""
    course, p = many(_course, instances)[:, 1:], instances.p[:, None]
    finite = np.isfinite(instances.lam)
    log_ratio, p = np.log(p[finite] / course[finite]), p[finite]
    ceiling = np.asarray(theory.real_kl_ceiling(jnp.asarray(instances.lam)))[finite, None]
    assert (np.sum(p * log_ratio, axis=2) <= ceiling + ACCURACY).all()
    assert (log_ratio.max(axis=2) <= ceiling + ACCURACY).all()


def test_real_data_keep_no_more_than_their_share():
    """Where all curated mass goes to a point that is rare in the data, the divergence is log(1 + λ) − O(1e-9)."""
    lam = jnp.array([1e-3, 0.1, 1.0, 30.0, 1e3])
    p, r = jnp.array([1 - 1e-9, 1e-9]), jnp.array([-100.0, 0.0])
    first = jax.vmap(lambda lam: theory.retrain(p, r, k=jnp.inf, lam=lam, p_ref=p))(lam)
    divergence = jnp.log(p[None] / first) @ p
    np.testing.assert_allclose(divergence, theory.real_kl_ceiling(lam), rtol=1e-3)


def test_one_generation_contracts_total_variation(instances):
    """By ηK for any two distributions, and by η K_eff where the reward is bounded."""
    other = np.random.default_rng(4).dirichlet(np.ones(POINTS), NUM)
    after = many(_course, instances)[:, 1], many(_course_from, (other, *instances))
    before, after = (np.abs(a - b).sum(axis=1) for a, b in ((instances.p, other), after))
    rate = many(_contraction, instances)
    assert (after <= rate[:, 0] * before * (1 + ACCURACY)).all()
    assert (after <= rate[:, 1] * before * (1 + ACCURACY)).all()
    assert (rate[:, 1] <= rate[:, 0] * (1 + EPS)).all()


def test_the_contraction_could_not_be_a_percent_stronger():
    p_ref, r = jnp.array([1.0, 0.0]), jnp.array([-100.0, 0.0])
    k, lam = (jnp.asarray(value.ravel()) for value in np.meshgrid([1.5, 4.0, 1000.0], [1e-3, 0.5, 100.0]))

    def ratio(k, lam):
        near, far = (theory.retrain(jnp.array([1 - u, u]), r, k=k, lam=lam, p_ref=p_ref) for u in (0.0, 1e-6))
        return jnp.abs(near - far).sum() / 2e-6

    assert (jax.vmap(ratio)(k, lam) > 0.99 * theory.contraction_rate(k=k, lam=lam)).all()


def test_the_kl_ceiling_is_sharp_for_a_rare_top():
    """The top's share u grows to u_ref (1 − η) / (1 − ηK) but for a relative term of order K u ≤ 1e-5."""
    rare, k = 1e-9, jnp.array([1.5, 2.0, 7.0, 100.0])
    p, r = jnp.array([rare, *[(1 - rare) / 5] * 5]), jnp.array([0.0, *[-100.0] * 5])
    lam = 0.5 / (k - 1)

    def limit(k, lam):
        return theory.mixed_limit(p, r, k=k, lam=lam)[0]

    reached = np.log(np.asarray(jax.jit(jax.vmap(limit))(k, lam)) / rare)
    np.testing.assert_allclose(reached, theory.kl_ceiling(k=k, lam=lam), atol=1e-5)


def test_the_kl_ceiling_is_infinite_from_the_threshold_on():
    k = jnp.array([3.0, 3.0, 5.0, np.inf, 2.0, 1.0, np.inf, 3.0])
    lam = jnp.array([0.5, 0.6, 0.25, 1e-9, np.inf, np.inf, 0.0, 0.25])
    expected = [np.inf, np.inf, np.inf, np.inf, np.inf, 0.0, 0.0, np.log(2)]
    np.testing.assert_allclose(theory.kl_ceiling(k=k, lam=lam), expected, rtol=1e-14)


def test_the_tail_rate_is_the_rate_seen():
    """1 − P_t(top) shrinks ρ-fold a generation in the end, by the gap to the next level, not to the others."""
    k, gap = (jnp.asarray(value.ravel()) for value in np.meshgrid([2.0, 3.5, 7.0, np.inf], [0.7, 2.0]))

    def below(k, gap):
        p, r = jnp.array([0.3, 0.3, 0.4]), jnp.stack([0 * gap, -gap, -3 * gap])
        return theory.trajectory(p, r, k=k, lam=jnp.inf, num=60)[:, 1:].sum(axis=1)

    rest = np.asarray(jax.jit(jax.vmap(below))(k, gap))
    late = np.argmax(rest < 1e-8, axis=1)  # there the rate is within K · 1e-8 of its limit
    assert (late > 0).all()
    seen = np.array([row[t + 1] / row[t] for row, t in zip(rest, late, strict=True)])
    np.testing.assert_allclose(seen, theory.tail_rate(k=k, gap=gap), rtol=1e-6)


def test_beside_a_full_top_every_level_shrinks_at_the_tail_rate_of_its_gap(instances):
    """With all but 5e-12 of the mass at the top, for gaps ≤ 20 and K ≥ 2.5: the rest adds (5e-12)^(K − 1) to H."""
    top = np.eye(POINTS)[instances.r.argmax(axis=1)]
    full = instances._replace(p=np.where(top == 1, 1 - 1e-12 * (POINTS - 1), 1e-12))
    ratio, rate = np.moveaxis(many(_ratio_and_rate, full), 1, 0)
    below = (instances.r < -1e-6) & (instances.r > -20) & (instances.k[:, None] >= 2.5)
    assert below.sum() > 2 * NUM
    np.testing.assert_allclose(ratio[below], rate[below], rtol=2 * ACCURACY)


def test_effective_k_bounds_the_ratio_and_is_reached(instances):
    ceiling = many(_effective_k, instances)
    ratio = many(_ratio, instances)
    assert (ratio.max(axis=1) <= ceiling * (1 + ACCURACY)).all()
    lowest = instances._replace(p=np.eye(POINTS)[instances.r.argmin(axis=1)])  # all that a newcomer at the top meets
    ratio = many(_ratio, lowest)
    np.testing.assert_allclose(ratio.max(axis=1), ceiling, rtol=ACCURACY)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.kl_ceiling(k=0.5, lam=1.0), "k=0.5 is not a group size"),
        (lambda: theory.kl_ceiling(k=2, lam=-1.0), "lam=-1.0 is not a ratio"),
        (lambda: theory.reward_floor(jnp.ones(1), jnp.ones(1), k=2, lam=1.0, order=4), "order=4 is not a proven power"),
        (lambda: theory.contraction_rate(k=0.5, lam=1.0), "k=0.5 is not a group size"),
        (lambda: theory.tail_rate(k=2, gap=0.0), "gap=0.0 is not a gap between reward levels"),
    ],
)
def test_refuses_and_names_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _floors(p, r, k, lam):
    return jnp.stack([theory.reward_floor(p, r, k=k, lam=lam, order=order) for order in (1, 2, 3)])


def _contraction(p, r, k, lam):
    bounded = theory.effective_k(k=k, reward_range=jnp.ptp(r))
    return jnp.stack([theory.contraction_rate(k=k, lam=lam), theory.contraction_rate(k=bounded, lam=lam)])


def _course_from(other, p, r, k, lam):
    return theory.retrain(other, r, k=k, lam=lam, p_ref=p)


def _ceiling(p, r, k, lam):
    del p, r
    return theory.kl_ceiling(k=k, lam=lam)


def _bounded_ceiling(p, r, k, lam):
    return theory.kl_ceiling(k=_effective_k(p, r, k, lam), lam=lam)


def _increment_bound(p, r, k, lam):
    del lam
    return theory.reward_increment_bound(p, r, k=k)


def _effective_k(p, r, k, lam):
    del p, lam
    return theory.effective_k(k=k, reward_range=jnp.ptp(r))


def _ratio(p, r, k, lam):
    del lam
    return theory.k_way_ratio(p, r, k)


def _ratio_and_rate(p, r, k, lam):
    del lam
    gap = jnp.where(r < 0, -r, 1.0)
    return jnp.stack([theory.k_way_ratio(p, r, k), theory.tail_rate(k=k, gap=gap)])


def _course(p, r, k, lam):
    return theory.trajectory(p, r, k=k, lam=lam, num=GENERATIONS)


def _mean_and_next(instances):
    """E[e^r] before and after one generation of the pure loop."""
    course = many(_course, instances._replace(lam=np.full(NUM, np.inf)))
    return (np.sum(course[:, t] * np.exp(instances.r), axis=1) for t in (0, 1))
