from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pools import curate
from scipy.special import softmax

import curated_retraining as cr
from curated_retraining import theory

ERRORS = [
    (lambda: cr.k_way(1, cr.luce()), "k=1"),
    (lambda: cr.inverse_propensity(1, cr.luce()), "k=1"),
    (lambda: cr.inverse_propensity(2, cr.luce(), 1.5), r"exponent=1\.5"),
    (lambda: cr.rounds(cr.everything(), 0), "num=0"),
    (lambda: curate(cr.k_way(4, cr.luce()), jnp.zeros(6)), "pool of 6 does not split into groups of 4"),
]


@pytest.mark.parametrize(("act", "message"), ERRORS)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_curated_points_follow_the_k_way_operator(assert_mean):
    """p·H^K by enumeration of all groups of three from a support of three."""
    p, reward, k = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), 3
    expected = np.zeros(3)
    for group in product(range(3), repeat=k):
        np.add.at(expected, list(group), p[list(group)].prod() * softmax(reward[list(group)]))

    pool = np.random.default_rng(1).choice(3, 60_000, p=p)
    kept = curate(cr.k_way(k, cr.luce()), reward[pool], pool)
    assert_mean(np.asarray(kept.x)[:, None] == np.arange(3), expected)


def test_one_of_each_group_of_consecutive_rows_is_kept():
    kept = curate(cr.k_way(3, cr.luce()), np.random.default_rng(2).normal(size=600), np.arange(600))
    np.testing.assert_array_equal(np.asarray(kept.x) // 3, np.arange(200))
    assert len(set(np.asarray(kept.x) % 3)) == 3
    np.testing.assert_array_equal(kept.weight, np.full(200, np.float32(1 / 200)))


@pytest.mark.parametrize(("event", "dtype"), [((), jnp.float32), ((5,), jnp.int8), ((2, 3, 1), jnp.float32)])
def test_events_keep_their_shape_and_type(event, dtype):
    pool = jnp.arange(6 * np.prod(event, dtype=int)).astype(dtype).reshape(6, *event)
    best = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    kept = curate(cr.k_way(3, cr.luce(0.0)), best, pool)
    assert kept.x.dtype == dtype
    np.testing.assert_array_equal(kept.x, pool[np.array([2, 5])])
    twice = jax.eval_shape(lambda: curate(cr.rounds(cr.k_way(3, cr.luce()), 2), best, pool))
    assert twice.x.shape == (4, *event) and twice.x.dtype == dtype


def test_a_choice_rule_sees_points_rewards_and_a_key_of_its_own(assert_mean):
    """A rule that takes whom its key likes best of those with x ≥ 0."""

    def rule(key, x, reward):
        assert x.shape == (3, 1) and reward.shape == (3,)
        return jnp.where(x[:, 0] < 0, -jnp.inf, 1e6 * reward * jax.random.normal(key, (3,)))

    n = 30_000
    x = np.where(np.arange(n) % 3 == 0, -1, np.arange(n))[:, None]
    place = np.asarray(curate(cr.k_way(3, rule), np.ones(n), x).x)[:, 0] % 3
    assert_mean(place[:, None] == np.arange(3), [0, 0.5, 0.5])
    assert_mean(place[0::2] == place[1::2], 0.5)  # groups have keys of their own


def test_a_choice_rule_may_use_several_annotators(assert_mean):
    def crowd(key, x, reward):
        assert reward.shape == (3, 2)
        return reward[:, jax.random.randint(key, (), 0, 2)]

    reward = np.tile([[1e6, 0.0], [0.0, 0.0], [0.0, 1e6]], (10_000, 1))
    chosen = np.asarray(curate(cr.k_way(3, crowd), reward, np.arange(30_000)).x) % 3
    assert_mean(chosen[:, None] == np.arange(3), [0.5, 0, 0.5])


@pytest.mark.parametrize("nothing", [np.nan, -np.inf])
def test_a_group_that_cannot_be_decided_is_seen(nothing):
    def rule(key, x, reward):
        return jnp.where(x[0, 0] == 3, nothing, reward)  # of the second group only

    assert np.isnan(curate(cr.k_way(3, rule), jnp.ones(6)).weight).all()


@pytest.mark.parametrize("rule", [lambda key, x, reward: reward.sum(), lambda key, x, reward: reward[:, None]])
def test_logits_of_another_shape_are_rejected(rule):
    """One number for a group would make all groups choose alike."""
    with pytest.raises((ValueError, AssertionError)):
        curate(cr.k_way(3, rule), jnp.ones(9), jnp.arange(9))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 2, 1]])
def test_rounds_regroup_at_random_whatever_the_order_of_the_pool(assert_mean, order):
    """Best of two over 4 points: each round keeps 3 and the better of the other pair, 2 unless 2 is 3's partner."""
    num = 3000
    pool = np.array(order)
    kept = curate(cr.rounds(cr.k_way(2, cr.luce(0.0)), num), 1.0 * pool, pool)
    each = np.sort(np.asarray(kept.x).reshape(num, 2), axis=-1)
    np.testing.assert_array_equal(kept.weight, np.full(2 * num, np.float32(1 / (2 * num))))
    assert_mean(each[:, 0, None] == np.arange(4), [0, 1 / 3, 2 / 3, 0])
    assert np.all(each[:, 1] == 3)


def test_rounds_share_the_weights_of_a_curator():
    both = curate(cr.rounds(cr.tilt(), 2), [0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    expected = softmax([0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    mass = np.zeros(6)
    np.add.at(mass, np.asarray(both.x)[:, 0], np.asarray(both.weight))
    np.testing.assert_allclose(mass, expected, rtol=1e-6)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_weights_by_inverse_propensity_follow_their_exact_operator(assert_mean, exponent):
    """Each of 100 pools in 2,000 groups: 4.5 standard errors of their mean; the bias is of order 1 / 2,000."""
    p, reward, k, times, groups = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.5]), 3, 100, 2000
    curator = cr.inverse_propensity(k, cr.luce(), exponent)

    @jax.jit
    def held(key):
        pool_key, curate_key = jax.random.split(key)
        pool = jax.random.categorical(pool_key, jnp.log(p), shape=(groups * k,))
        kept = curator(curate_key, pool, jnp.asarray(reward)[pool])
        return kept.weight @ jax.nn.one_hot(kept.x, 3)

    draws = jax.lax.map(held, jax.random.split(jax.random.key(0), times))
    exact = jax.jit(theory.propensity_ratio)(jnp.asarray(p), jnp.asarray(reward), k, exponent=exponent)
    assert_mean(draws, p * exact)
    if exponent == 1:
        np.testing.assert_allclose(exact, 1, rtol=1e-5)  # so that this was the pool's own mean
    assert (np.std(draws, axis=0) < 0.03).all()


def test_without_an_exponent_it_is_k_way():
    reward = np.random.default_rng(4).normal(size=30)
    plain, weighted = (
        curate(of, reward, np.arange(30)) for of in (cr.k_way(3, cr.luce()), cr.inverse_propensity(3, cr.luce(), 0.0))
    )
    np.testing.assert_array_equal(plain.x, weighted.x)
    np.testing.assert_allclose(plain.weight, weighted.weight, rtol=1e-6)


def test_a_group_that_cannot_be_decided_is_seen_in_propensities_too():
    def rule(key, x, reward):
        return jnp.where(x[0, 0] == 3, jnp.nan, reward)

    assert np.isnan(curate(cr.inverse_propensity(3, rule), jnp.ones(6)).weight).all()
