"""What counts of classes tell, against the operator and whole simulations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory
from curated_retraining.detection import class_rewards, least_k

P = jnp.array([0.4, 0.3, 0.2, 0.1])
REWARD = jnp.array([0.0, 0.5, 1.0, 2.0])


def after(k, temperature=1.0):
    return P * theory.k_way_ratio(P, REWARD, k, temperature=temperature)


def counts():
    """400 pairs of counts of 4,000 samples at K = 4."""
    rng = np.random.default_rng(0)
    shares = (np.asarray(p, float) / np.asarray(p, float).sum() for p in (P, after(4.0)))
    return tuple(jnp.asarray(rng.multinomial(4000, p, 400)) for p in shares)


errors_of = jax.jit(jax.vmap(lambda before, after: class_rewards(before, after, 4.0)))
least_of = jax.jit(jax.vmap(least_k))


@pytest.mark.parametrize("k", [2.0, 4.0, jnp.inf])
def test_rewards_are_found_from_shares(k):
    found = class_rewards(1e6 * P, 1e6 * after(k), k)
    np.testing.assert_allclose(found.reward, REWARD - P @ REWARD, atol=1e-4)


@pytest.mark.statistical
@pytest.mark.long
def test_errors_are_those_of_many_data_sets():
    """100 sets: a variance of 1 is known to 14 % (one σ), a mean of 0 to 0.1, with a bias of 0.04; 4.5 of these."""
    found = errors_of(*(each[:100] for each in counts()))
    score = (np.asarray(found.reward) - np.asarray(REWARD - P @ REWARD)) / np.asarray(found.error)
    assert (np.abs(score.var(axis=0) - 1) < 4.5 * 0.14).all()
    assert (np.abs(score.mean(axis=0)) < 4.5 * 0.1 + 0.04).all()


def test_what_no_rewards_explain_is_no_number():
    for before, after in (([100, 100], [199, 1]), ([1e6, 10], [1e6, 40])):  # best of 2 makes 1/2 at most 3/4, H < 2
        found = class_rewards(np.array(before), np.array(after), 2.0)
        assert np.isnan(found.reward).all() and np.isnan(found.error).all()
    rare = class_rewards(np.array([1e6, 10]), np.array([1e6, 15]), 2.0)  # H = 2 σ(Δ) = 3/2
    np.testing.assert_allclose(np.diff(rare.reward), np.log(3), atol=1e-3)


@pytest.mark.statistical
@pytest.mark.long
def test_the_least_k_is_below_the_truth():
    """400 sets at 90 % confidence: at most 40 + 4.5 · 6 are above."""
    assert (least_of(*counts()) > 4).sum() <= 67


@pytest.mark.long
def test_the_least_k_comes_near_to_best_of_k():
    """Best-of-4 attains the bound as samples grow."""
    few, many = (least_k(n * P, n * after(4.0, temperature=0.0)) for n in (1e3, 1e6))
    assert 1.5 < few < many < 4 and many > 3.8
    assert least_k(1000 * P, 1000 * P) == 1


@pytest.mark.statistical
def test_many_classes_that_grew_by_chance_are_no_sign_of_a_choice():
    """40 even classes, 100 sets of no curation: above 1 in at most 10 + 4 · 3, though those that grew most are read."""
    before, after = np.random.default_rng(1).multinomial(1000, np.full(40, 1 / 40), (2, 100))
    assert (least_of(before, after) > 1).sum() <= 22


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_rewards(np.ones(2), np.ones(3), 2), r"shapes \(2,\) and \(3,\)"),
        (lambda: class_rewards(np.array([1, 0]), np.ones(2), 2), "before=.* has a count below 1"),
        (lambda: class_rewards(np.ones(2), np.ones(2), 1), "k=1 is not a group"),
        (lambda: least_k(np.ones(2), np.zeros(2)), "after=.* counts no samples"),
        (lambda: least_k(np.ones(2), np.array([1, -1])), "after=.* has a count below 0"),
        (lambda: least_k(np.ones(2), np.ones(2), level=1.0), "level=1.0"),
    ],
)
def test_mistakes_in_counts_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
