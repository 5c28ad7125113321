from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.typing import ArrayLike
from scipy.special import softmax

from curated_retraining import curation

ROWS = jnp.arange(6)[:, None]
ERRORS = [
    (lambda: curation.k_way(1, curation.luce()), "k=1"),
    (lambda: curation.luce(-0.5), "temperature=-0.5"),
    (lambda: curation.luce(np.nan), "temperature=nan"),
    (lambda: curation.tilt(-1.0), "temperature=-1"),
    (lambda: curation.top_fraction(0.0), r"share=0\.0"),
    (lambda: curation.top_fraction(1.5), r"share=1\.5"),
    (lambda: curation.rounds(curation.everything(), 0), "num=0"),
    (lambda: curate(curation.k_way(4, curation.luce()), jnp.zeros(6)), "pool of 6 does not split into groups of 4"),
    (lambda: curate(curation.k_way(2, curation.luce()), jnp.zeros((6, 2))), r"\(2, 2\)"),
    (lambda: curate(curation.tilt(), jnp.zeros((6, 2))), r"\(6, 2\)"),
    (lambda: curate(curation.top_fraction(0.5), jnp.zeros((6, 2))), r"\(6, 2\)"),
    (lambda: curate(curation.threshold(0.5), jnp.zeros((6, 2))), r"\(6, 2\)"),
]


@jax.jit
def _curate(curator, key, pool, reward):
    return curator(key, pool, reward)


def curate(curator, reward, pool: ArrayLike = ROWS, seed=0):
    return _curate(curator, jax.random.key(seed), jnp.asarray(pool), jnp.asarray(reward))


def repeated(curator, reward, times):
    """The rows of a group with these rewards that are chosen in independent repetitions, `[times]`."""
    n = times * len(reward)
    return np.asarray(curate(curator, np.tile(reward, times), np.arange(n)).x) % len(reward)


@pytest.mark.parametrize(("act", "message"), ERRORS)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_luce_chooses_in_proportion_to_exp_reward(assert_mean, temperature):
    reward = np.array([0.0, 1.0, -1.0, 2.5])
    chosen = repeated(curation.k_way(4, curation.luce(temperature)), reward, 20_000)
    assert_mean(chosen[:, None] == np.arange(4), softmax(reward / temperature))


def test_curated_points_follow_the_k_way_operator(assert_mean):
    """p·H^K by enumeration of all groups of three from a support of three."""
    p, reward, k = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), 3
    expected = np.zeros(3)
    for group in product(range(3), repeat=k):
        np.add.at(expected, list(group), p[list(group)].prod() * softmax(reward[list(group)]))

    pool = np.random.default_rng(1).choice(3, 60_000, p=p)
    kept = curate(curation.k_way(k, curation.luce()), reward[pool], pool)
    assert_mean(np.asarray(kept.x)[:, None] == np.arange(3), expected)


@pytest.mark.parametrize("temperature", [0.0, 1e-30])
def test_at_temperature_zero_the_best_win_and_ties_are_even(assert_mean, temperature):
    chosen = repeated(curation.k_way(4, curation.luce(temperature)), [1.0, 3.0, 3.0, 0.0], 10_000)
    assert_mean(chosen[:, None] == np.arange(4), [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("temperature", [1e30, np.inf])
def test_at_a_high_temperature_the_choice_is_even(assert_mean, temperature):
    chosen = repeated(curation.k_way(3, curation.luce(temperature)), [1.0, 3.0, 0.0], 10_000)
    assert_mean(chosen[:, None] == np.arange(3), 1 / 3)


def test_one_of_each_group_of_consecutive_rows_is_kept():
    kept = curate(curation.k_way(3, curation.luce()), np.random.default_rng(2).normal(size=600), np.arange(600))
    np.testing.assert_array_equal(np.asarray(kept.x) // 3, np.arange(200))
    assert len(set(np.asarray(kept.x) % 3)) == 3
    np.testing.assert_array_equal(kept.weight, np.full(200, np.float32(1 / 200)))


@pytest.mark.parametrize(("event", "dtype"), [((), jnp.float32), ((5,), jnp.int8), ((2, 3, 1), jnp.float32)])
def test_events_keep_their_shape_and_type(event, dtype):
    pool = jnp.arange(6 * np.prod(event, dtype=int)).astype(dtype).reshape(6, *event)
    best = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    kept = curate(curation.k_way(3, curation.luce(0.0)), best, pool)
    assert kept.x.dtype == dtype
    np.testing.assert_array_equal(kept.x, pool[np.array([2, 5])])
    twice = jax.eval_shape(lambda: curate(curation.rounds(curation.k_way(3, curation.luce()), 2), best, pool))
    assert twice.x.shape == (4, *event) and twice.x.dtype == dtype


def test_temperature_is_data():
    reward, temperatures = np.random.default_rng(3).normal(size=6), jnp.array([0.0, 0.3, jnp.inf])

    def both(temperature):
        return curate(curation.k_way(2, curation.luce(temperature)), reward), curate(curation.tilt(temperature), reward)

    together = jax.vmap(both)(temperatures)
    for i, temperature in enumerate(temperatures):
        kept, tilted = both(temperature)
        np.testing.assert_array_equal(together[0].x[i], kept.x)
        np.testing.assert_allclose(together[1].weight[i], tilted.weight, rtol=1e-6)  # another order of summation


def test_a_choice_rule_sees_points_rewards_and_a_key_of_its_own(assert_mean):
    """A rule that takes whom its key likes best of those with x ≥ 0."""

    def rule(key, x, reward):
        assert x.shape == (3, 1) and reward.shape == (3,)
        return jnp.where(x[:, 0] < 0, -jnp.inf, 1e6 * reward * jax.random.normal(key, (3,)))

    n = 30_000
    x = np.where(np.arange(n) % 3 == 0, -1, np.arange(n))[:, None]
    place = np.asarray(curate(curation.k_way(3, rule), np.ones(n), x).x)[:, 0] % 3
    assert_mean(place[:, None] == np.arange(3), [0, 0.5, 0.5])
    assert_mean(place[0::2] == place[1::2], 0.5)  # groups have keys of their own


def test_a_choice_rule_may_use_several_annotators(assert_mean):
    def crowd(key, x, reward):
        assert reward.shape == (3, 2)
        return reward[:, jax.random.randint(key, (), 0, 2)]

    reward = np.tile([[1e6, 0.0], [0.0, 0.0], [0.0, 1e6]], (10_000, 1))
    chosen = np.asarray(curate(curation.k_way(3, crowd), reward, np.arange(30_000)).x) % 3
    assert_mean(chosen[:, None] == np.arange(3), [0.5, 0, 0.5])


@pytest.mark.parametrize("rule", [lambda key, x, reward: reward.sum(), lambda key, x, reward: reward[:, None]])
def test_logits_of_another_shape_are_rejected(rule):
    """One number for a group would make all groups choose alike."""
    with pytest.raises((ValueError, AssertionError)):
        curate(curation.k_way(3, rule), jnp.ones(9), jnp.arange(9))


@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_tilt_is_a_softmax_over_the_pool(temperature):
    reward = np.array([0.0, 1.0, -2.0, 0.5, 3.0, 3.0])
    tilted = curate(curation.tilt(temperature), reward)
    np.testing.assert_array_equal(tilted.x, ROWS)
    np.testing.assert_allclose(tilted.weight, softmax(reward / temperature), rtol=1e-5)  # float32 exponentials


def test_tilt_at_temperature_zero_keeps_the_best():
    tilted = curate(curation.tilt(0.0), [0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    np.testing.assert_array_equal(tilted.weight, [0, 0, 0.5, 0, 0.5, 0])


@pytest.mark.parametrize(
    ("share", "kept"),
    [(0.5, [1, 0, 2 / 3, 2 / 3, 2 / 3, 0]), (1 / 4, [1, 0, 1 / 6, 1 / 6, 1 / 6, 0]), (1.0, [1, 1, 1, 1, 1, 1])],
)
def test_top_fraction_keeps_its_share_exactly_with_ties_at_the_edge(share, kept):
    """In points: 6 · share, of which the best takes one and the three that tie take what is left."""
    got = curate(curation.top_fraction(share), [3.0, 0.0, 1.0, 1.0, 1.0, -1.0])
    np.testing.assert_allclose(got.weight, np.array(kept) / (6 * share), rtol=1e-6)
    np.testing.assert_allclose(got.weight.sum(), 1, rtol=1e-6)


def test_threshold_keeps_what_reaches_it():
    kept = curate(curation.threshold(1.0), [1.0, 0.9, 2.0, -1.0, 1.0, 5.0])
    np.testing.assert_array_equal(kept.x, ROWS)
    np.testing.assert_array_equal(kept.weight, [0.25, 0, 0.25, 0, 0.25, 0.25])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_threshold_that_nobody_reaches_is_seen(compiled):
    """Compiled, 0 / 0 may be rewritten to 0: then mixing with real data would hide that nothing was kept."""
    with jax.disable_jit(not compiled):
        assert np.isnan(curate(curation.threshold(1.0), jnp.zeros(6)).weight).all()


def test_everything_keeps_the_pool_evenly():
    kept = curate(curation.everything(), [0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    np.testing.assert_array_equal(kept.x, ROWS)
    np.testing.assert_array_equal(kept.weight, np.full(6, np.float32(1 / 6)))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 2, 1]])
def test_rounds_regroup_at_random_whatever_the_order_of_the_pool(assert_mean, order):
    """Best of two over 4 points: each round keeps 3 and the better of the other pair, 2 unless 2 is 3's partner."""
    num = 3000
    pool = np.array(order)
    kept = curate(curation.rounds(curation.k_way(2, curation.luce(0.0)), num), 1.0 * pool, pool)
    each = np.sort(np.asarray(kept.x).reshape(num, 2), axis=-1)
    np.testing.assert_array_equal(kept.weight, np.full(2 * num, np.float32(1 / (2 * num))))
    assert_mean(each[:, 0, None] == np.arange(4), [0, 1 / 3, 2 / 3, 0])
    assert np.all(each[:, 1] == 3)


def test_rounds_share_the_weights_of_a_curator():
    both = curate(curation.rounds(curation.tilt(), 2), [0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    expected = softmax([0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    mass = np.zeros(6)
    np.add.at(mass, np.asarray(both.x)[:, 0], np.asarray(both.weight))
    np.testing.assert_allclose(mass, expected, rtol=1e-6)
