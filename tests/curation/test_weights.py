import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pools import ROWS, curate
from scipy.special import softmax

import curated_retraining as cr
from curated_retraining import theory


def first(x):
    return x[:, 0]


ERRORS = [
    (lambda: cr.tilt(-1.0), "temperature=-1"),
    (lambda: cr.top_fraction(0.0), r"share=0\.0"),
    (lambda: cr.top_fraction(1.5), r"share=1\.5"),
    (lambda: cr.quota(cr.tilt(), first, (0.5, 0.6)), "do not sum to 1"),
    (lambda: cr.quota(cr.tilt(), first, (1.0, 0.0)), "leave a class out"),
    (lambda: cr.quota(cr.tilt(), first, (0.5, 0.5), 1.5), r"strength=1\.5"),
    (lambda: curate(cr.tilt(), jnp.zeros((6, 2))), r"\(6, 2\)"),
    (lambda: curate(cr.top_fraction(0.5), jnp.zeros((6, 2))), r"\(6, 2\)"),
    (lambda: curate(cr.threshold(0.5), jnp.zeros((6, 2))), r"\(6, 2\)"),
]


@pytest.mark.parametrize(("act", "message"), ERRORS)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_tilt_is_a_softmax_over_the_pool(temperature):
    reward = np.array([0.0, 1.0, -2.0, 0.5, 3.0, 3.0])
    tilted = curate(cr.tilt(temperature), reward)
    np.testing.assert_array_equal(tilted.x, ROWS)
    np.testing.assert_allclose(tilted.weight, softmax(reward / temperature), rtol=1e-5)  # float32 exponentials


def test_tilt_at_temperature_zero_keeps_the_best():
    tilted = curate(cr.tilt(0.0), [0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    np.testing.assert_array_equal(tilted.weight, [0, 0, 0.5, 0, 0.5, 0])


def test_the_tilt_of_a_crowd_is_its_exact_operator_at_infinite_k():
    """On a pool of six points, which count evenly: one type with a temperature, one who lapses."""
    reward = np.random.default_rng(0).normal(size=(6, 2))
    people = users, temperature, lapse = np.array([0.7, 0.3]), np.array([0.5, 1.0]), np.array([0.0, 0.4])
    operator = theory.crowd_operator(jnp.asarray(reward.T), users, temperature=temperature, lapse=lapse)
    tilted = curate(cr.crowd_tilt(*people), reward)
    np.testing.assert_allclose(tilted.weight, operator(jnp.full(6, 1 / 6), jnp.inf) / 6, rtol=1e-5)


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (0.5, [1, 0, 2 / 3, 2 / 3, 2 / 3, 0]),
        (1 / 4, [1, 0, 1 / 6, 1 / 6, 1 / 6, 0]),
        (3 / 4, [1, 1 / 2, 1, 1, 1, 0]),
        (1.0, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_top_fraction_keeps_its_share_exactly_with_ties_at_the_edge(share, kept):
    """In points: 6 · share, of which the best takes one and the three that tie take what is left."""
    got = curate(cr.top_fraction(share), [3.0, 0.0, 1.0, 1.0, 1.0, -1.0])
    np.testing.assert_allclose(got.weight, np.array(kept) / (6 * share), rtol=1e-6)
    np.testing.assert_allclose(got.weight.sum(), 1, rtol=1e-6)


def test_threshold_keeps_what_reaches_it():
    kept = curate(cr.threshold(1.0), [1.0, 0.9, 2.0, -1.0, 1.0, 5.0])
    np.testing.assert_array_equal(kept.x, ROWS)
    np.testing.assert_array_equal(kept.weight, [0.25, 0, 0.25, 0, 0.25, 0.25])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_threshold_that_nobody_reaches_is_seen(compiled):
    """Compiled, 0 / 0 may be rewritten to 0: then mixing with real data would hide that nothing was kept."""
    with jax.disable_jit(not compiled):
        assert np.isnan(curate(cr.threshold(1.0), jnp.zeros(6)).weight).all()


def test_everything_keeps_the_pool_evenly():
    kept = curate(cr.everything(), [0.0, 1.0, 3.0, 0.5, 3.0, 2.0])
    np.testing.assert_array_equal(kept.x, ROWS)
    np.testing.assert_array_equal(kept.weight, np.full(6, np.float32(1 / 6)))


SHARES = np.array([0.2, 0.5, 0.3])


def modulo_three(x):
    return x[:, 0] % 3


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_quotas_move_classes_and_not_what_is_in_them(strength):
    reward = np.array([0.0, 1.0, -2.0, 0.5, 3.0, 3.0])
    before = softmax(reward)
    held = before.reshape(2, 3).sum(axis=0)
    wanted = held ** (1 - strength) * SHARES**strength
    expected = before * np.tile(wanted / wanted.sum() / held, 2)
    kept = curate(cr.quota(cr.tilt(), modulo_three, SHARES, strength), reward)
    np.testing.assert_allclose(kept.weight, expected, rtol=1e-5)  # float32 exponentials
    if strength == 1:
        np.testing.assert_allclose(kept.weight.reshape(2, 3).sum(axis=0), SHARES, rtol=1e-5)


def test_a_class_of_which_nothing_was_kept_is_seen_where_it_is_due_a_share():
    """The threshold keeps rows 1 and 4, both of class 1."""
    reward = [0.0, 2.0, 0.0, 0.0, 2.0, 0.0]
    for strength, lost in ((1.0, True), (0.5, True), (0.0, False)):
        kept = curate(cr.quota(cr.threshold(1.0), modulo_three, SHARES, strength), reward)
        assert np.isnan(kept.weight).all() == lost
    beyond = curate(cr.quota(cr.everything(), first, SHARES), reward)  # rows 3 to 5 are of no class
    assert np.isnan(beyond.weight).all()
