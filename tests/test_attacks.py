"""Attacks on labels: derivatives against refits, flips against all that there are."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import attacks

RNG = np.random.default_rng(0)
NUM = 12
DIFFERENCE = jnp.asarray(RNG.normal(size=(NUM, 2)), jnp.float32)
LABEL = jnp.asarray(RNG.random(NUM) < 0.5, jnp.float32)
RIDGE = 0.1


def fit(label):
    return attacks.bradley_terry(DIFFERENCE, label, ridge=RIDGE)


def outcome(label):
    """What the reward learnt says of (1, −2)."""
    return fit(label) @ jnp.array([1.0, -2.0])


def loss(weight):
    margin = DIFFERENCE @ weight
    likelihood = LABEL * jax.nn.log_sigmoid(margin) + (1 - LABEL) * jax.nn.log_sigmoid(-margin)
    return -likelihood.mean() + RIDGE / 2 * weight @ weight


def test_the_fit_is_the_likeliest():
    weight = fit(LABEL)
    np.testing.assert_allclose(jax.grad(loss)(weight), 0, atol=1e-6)
    assert loss(weight) < min(loss(weight * factor) for factor in (0.9, 1.1))


def test_many_comparisons_give_the_reward_back(assert_mean):
    """200 fits to 400 comparisons each, whose bias is of order 1/400 and near their standard error of 0.01."""
    true = jnp.array([1.0, -0.5])

    def one(key):
        point_key, label_key = jax.random.split(key)
        difference = jax.random.normal(point_key, (400, 2))
        label = jax.random.uniform(label_key, (400,)) < jax.nn.sigmoid(difference @ true)
        return attacks.bradley_terry(difference, label.astype(float), ridge=1e-6)

    with jax.debug_key_reuse(False):  # which takes the keys of a map for used ones
        assert_mean(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 200)), true, bias=0.01)


@pytest.mark.long
def test_derivatives_in_the_labels_are_those_of_refits():
    step = 1e-2
    slope = jax.grad(outcome)(LABEL)
    refits = [(outcome(LABEL + step * row) - outcome(LABEL - step * row)) / (2 * step) for row in jnp.eye(NUM)]
    np.testing.assert_allclose(slope, refits, atol=2e-4)  # float32 differences of 1e-2
    assert np.abs(slope).max() > 0.1


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_the_worst_flips_come_near_the_worst_of_all(budget):
    """All sets of `budget`, refitted: the attack is within a tenth of the worst fall, and past 95 % of sets."""
    sets = np.array([np.isin(np.arange(NUM), rows) for rows in itertools.combinations(range(NUM), budget)], np.float32)
    all_of_them = jax.jit(jax.vmap(lambda chosen: outcome(attacks.flip(LABEL, chosen))))(sets)
    chosen = jax.jit(lambda label, num: attacks.worst_flips(outcome, label, num))(LABEL, budget)
    assert set(np.unique(chosen)) <= {0.0, 1.0} and chosen.sum() == budget
    reached, honest = outcome(attacks.flip(LABEL, chosen)), outcome(LABEL)
    assert honest - reached >= 0.9 * (honest - all_of_them.min())
    assert (reached <= all_of_them + 1e-6).mean() > 0.95


def test_the_first_step_goes_all_the_way_and_later_ones_look_from_there():
    """The first flip looks worse until it is made nearly whole; seen from there, the second is."""

    def outcome(label):
        return label[0] ** 8 - 1.5 * label[0] - label[1]

    np.testing.assert_array_equal(attacks.worst_flips(outcome, jnp.zeros(2), 1, steps=1), [1, 0])
    np.testing.assert_array_equal(attacks.worst_flips(outcome, jnp.zeros(2), 1, steps=2), [0, 1])


def test_no_flip_that_helps_is_made():
    chosen = attacks.worst_flips(lambda label: label.sum(), LABEL, NUM)
    np.testing.assert_array_equal(chosen, LABEL)  # ones become zeros, and no zero a one


def test_random_flips_keep_to_their_budget_and_know_no_favourite(assert_mean):
    flips = jax.vmap(lambda key: attacks.random_flips(key, 8, 3))(jax.random.split(jax.random.key(0), 2000))
    np.testing.assert_array_equal(flips.sum(axis=1), 3)
    assert_mean(flips, 3 / 8)


def test_a_flip_turns_a_label_round():
    np.testing.assert_allclose(attacks.flip(jnp.array([0.0, 1.0, 1.0]), jnp.array([1.0, 1.0, 0.25])), [1, 0, 0.75])


def test_integers_are_labels_too():
    label = jnp.array([1, 0, 1], jnp.uint8)
    np.testing.assert_array_equal(attacks.flip(label, jnp.ones(3)), [0, 1, 0])
    np.testing.assert_array_equal(attacks.worst_flips(lambda label: label.sum(), label, 3), label)


def test_an_outcome_without_a_gradient_is_not_taken_for_one_that_no_flip_lowers():
    """The root of 0 in a plateau; one label's derivative is enough."""
    chosen = attacks.worst_flips(lambda label: jnp.sqrt(0 * label[0]) - label[1], jnp.zeros(2), 1)
    assert np.isnan(chosen).any()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: attacks.worst_flips(outcome, LABEL, 1, steps=0), "steps=0"),
        (lambda: attacks.bradley_terry(DIFFERENCE, LABEL, ridge=0.0), r"ridge=0\.0"),
    ],
)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
