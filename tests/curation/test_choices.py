import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from pools import curate, repeated
from scipy.special import expit, softmax

import curated_retraining as cr
from curated_retraining import theory

ERRORS = [
    (lambda: cr.luce(-0.5), "temperature=-0.5"),
    (lambda: cr.luce(np.nan), "temperature=nan"),
    (lambda: cr.crowd((0.5, 0.6)), "do not sum to 1"),
    (lambda: cr.crowd((1.5, -0.5)), "not shares"),
    (lambda: cr.crowd(0.5), r"shape \(\)"),
    (lambda: cr.crowd((0.5, 0.5), (1.0, 2.0, 3.0)), r"\(3,\)"),
    (lambda: cr.crowd((0.5, 0.5), (1.0, -2.0)), "temperatures"),
    (lambda: cr.crowd((0.5, 0.5), 1.0, (0.1, 1.5)), "lapses"),
    (lambda: cr.crowd((0.5, 0.5), 1.0, (0.1, 0.1, 0.1)), r"lapses of shape \(3,\)"),
    (lambda: cr.flipped(cr.luce(), 1.5), "share=1.5"),
    (lambda: curate(cr.k_way(2, cr.crowd((0.5, 0.5))), jnp.zeros((6, 3))), r"2 types.*\(2, 3\)"),
    (lambda: curate(cr.k_way(2, cr.crowd((0.5, 0.5))), jnp.zeros(6)), r"2 types.*\(2,\)"),
    (lambda: curate(cr.k_way(2, cr.pairwise(lambda x, y: 0.5 + 0 * x)), jnp.zeros(6)), r"shape \(1,\)"),
    (lambda: curate(cr.k_way(2, cr.luce()), jnp.zeros((6, 2))), r"\(2, 2\)"),
]
P = np.array([0.4, 0.35, 0.25])
CYCLE = np.array([[0.5, 0.1, 0.8], [0.9, 0.5, 0.3], [0.2, 0.7, 0.5]])  # each is beaten by the next


def matrix(wins, x, y):
    return wins[x, y]


def by(wins):
    """Duels of numbers `[]` by a matrix."""
    return cr.pairwise(Partial(matrix, jnp.asarray(wins)))


def shares(choice, points):
    """With what probability each of a group of numbered points is chosen."""
    x = jnp.arange(points)
    return jax.nn.softmax(jax.jit(choice)(jax.random.key(0), x, jnp.zeros(points)))


def drawn(choice, k, reward):
    """Which of three points is kept of each of many groups of k drawn from P; `reward` `[3]` or `[3, types]`."""
    pool = np.random.default_rng(1).choice(3, 24_000 * k, p=P)
    kept = curate(cr.k_way(k, choice), np.asarray(reward)[pool], pool)
    return np.asarray(kept.x)[:, None] == np.arange(3)


@pytest.mark.parametrize(("act", "message"), ERRORS)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_luce_chooses_in_proportion_to_exp_reward(assert_mean, temperature):
    reward = np.array([0.0, 0.5, -0.5, 1.0])  # the rarest has 600 of 20,000, so that a mean is normal
    chosen = repeated(cr.k_way(4, cr.luce(temperature)), reward, 20_000)
    assert_mean(chosen[:, None] == np.arange(4), softmax(reward / temperature))


@pytest.mark.parametrize("temperature", [0.0, 1e-30])
def test_at_temperature_zero_the_best_win_and_ties_are_even(assert_mean, temperature):
    chosen = repeated(cr.k_way(4, cr.luce(temperature)), [1.0, 3.0, 3.0, 0.0], 10_000)
    assert_mean(chosen[:, None] == np.arange(4), [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("temperature", [1e30, np.inf])
def test_at_a_high_temperature_the_choice_is_even(assert_mean, temperature):
    chosen = repeated(cr.k_way(3, cr.luce(temperature)), [1.0, 3.0, 0.0], 10_000)
    assert_mean(chosen[:, None] == np.arange(3), 1 / 3)


def test_temperature_is_data():
    reward, temperatures = np.random.default_rng(3).normal(size=6), jnp.array([0.0, 0.3, jnp.inf])

    def both(temperature):
        return curate(cr.k_way(2, cr.luce(temperature)), reward), curate(cr.tilt(temperature), reward)

    together = jax.vmap(both)(temperatures)
    for i, temperature in enumerate(temperatures):
        kept, tilted = both(temperature)
        np.testing.assert_array_equal(together[0].x[i], kept.x)
        np.testing.assert_allclose(together[1].weight[i], tilted.weight, rtol=1e-6)  # another order of summation


@pytest.mark.parametrize("k", [2, 3])
def test_a_crowd_follows_its_exact_operator(assert_mean, k):
    """Three types who disagree, one of them a best-of-k, another who chooses all but at random."""
    reward = np.array([[0.0, 2.0, 1.0], [1.0, 0.0, -1.0], [0.5, 1.0, 3.0]])  # a row a type
    fractions, temperatures = jnp.array([0.5, 0.3, 0.2]), np.array([0.5, 0.0, 4.0])
    exact = jax.jit(lambda p: theory.crowd_operator(jnp.asarray(reward), fractions, temperature=temperatures)(p, k))
    assert_mean(drawn(cr.crowd(fractions, temperatures), k, reward.T), P * exact(P))


def test_a_crowd_that_lapses_follows_its_exact_operator(assert_mean):
    reward, lapses = np.array([[0.0, 2.0, 1.0], [1.0, 0.0, -1.0]]), (0.1, 0.6)
    exact = theory.crowd_operator(jnp.asarray(reward), jnp.array([0.7, 0.3]), lapse=jnp.array(lapses))(P, 3)
    assert_mean(drawn(cr.crowd((0.7, 0.3), 1.0, lapses), 3, reward.T), P * exact)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("where", [None, 1])
def test_flips_follow_their_exact_operator(assert_mean, k, where):
    """Of every group, or of those where point 1 takes part."""
    reward = jnp.array([0.0, 2.0, -1.0])
    targets = () if where is None else (lambda x: x == where,)
    class_of = None if where is None else jnp.arange(3) == where
    exact = theory.flipped_operator(theory.k_way_operator(reward), 0.8, class_of)(P, k)
    assert_mean(drawn(cr.flipped(cr.luce(), 0.8, *targets), k, reward), P * exact)


def test_a_flip_of_what_cannot_be_decided_is_seen():
    kept = curate(cr.k_way(2, cr.flipped(cr.luce(), 0.5)), np.array([np.nan, 0.0]), np.arange(2))
    assert np.isnan(kept.weight).all()


def test_pluralistic_curation_goes_by_either_reward(assert_mean):
    """Two who want opposite ends, never the middle: one annotator a group and not one a candidate."""
    reward = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    chosen = repeated(cr.k_way(3, cr.crowd((0.7, 0.3), 0.0)), reward, 10_000)
    assert_mean(chosen[:, None] == np.arange(3), [0.7, 0, 0.3])


def test_of_two_the_preferred_is_chosen_as_often_as_it_is_preferred(assert_mean):
    pool = np.tile([2, 1], 20_000)
    kept = np.asarray(curate(cr.k_way(2, by(CYCLE)), np.zeros(40_000), pool).x)
    assert_mean(kept == 2, 0.7)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_duels_follow_their_exact_operator(assert_mean, k):
    exact = jax.jit(theory.pairwise_ratio, static_argnums=2)(P, CYCLE, k)
    assert_mean(drawn(by(CYCLE), k, np.zeros(3)), P * exact)


def test_duels_by_a_reward_are_luce():
    reward = np.random.default_rng(0).uniform(-8, 8, 6)
    got = shares(by(expit(reward[:, None] - reward[None])), 6)
    np.testing.assert_allclose(got, softmax(reward), rtol=1e-5)  # small ones too: nothing is subtracted


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [1, 2, 3, 0]])
@pytest.mark.parametrize(
    ("wins", "expected"),
    [
        ([[5, 0, 0, 0], [1, 5, 0, 0], [1, 1, 5, 0], [1, 1, 1, 5]], [0, 0, 0, 1]),  # transitive
        ([[5, 0, 1, 1], [1, 5, 0, 1], [0, 1, 5, 1], [0, 0, 0, 5]], [1 / 3, 1 / 3, 1 / 3, 0]),  # a cycle above a loser
        ([[5, 1, 1, 1], [0, 5, 1, 0], [0, 0, 5, 1], [0, 1, 0, 5]], [1, 0, 0, 0]),  # a cycle below a winner
    ],
)
def test_certain_duels_have_certain_winners(wins, expected, order):
    """A point against itself, 5 here, is never asked."""
    got = shares(by(np.array(wins, float)[np.ix_(order, order)]), 4)
    np.testing.assert_allclose(got, np.array(expected)[order], atol=1e-6)


@pytest.mark.parametrize("wrong", [np.eye(3), np.full((3, 3), np.nan), CYCLE + 0.01, 3 * CYCLE - 1])
def test_what_is_no_preference_is_seen(wrong):
    """The last sums to one, but leaves [0, 1]."""
    assert np.isnan(curate(cr.k_way(3, by(wrong)), np.zeros(3), np.arange(3)).weight).all()
