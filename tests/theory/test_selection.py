"""Rules that cut off, weights that undo or balance, and loops of any ratio, against enumeration and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

P, R = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.0, 1.0, -4.0, 2.5])
propensity = jax.jit(theory.propensity_ratio, static_argnames="reward_range")


def enumerated(k, exponent, temperature):
    """Every ordered group of k, each chosen member weighing its chance to the power −exponent."""
    mass = np.zeros(len(P))
    for group in itertools.product(range(len(P)), repeat=k):
        rows = list(group)
        a = np.exp(R[rows] / temperature)
        np.add.at(mass, rows, P[rows].prod() * (a / a.sum()) ** (1 - exponent))
    return mass / mass.sum() / P


@pytest.mark.parametrize(("x64", "rtol"), [(True, 1e-6), (False, 2e-5)])
def test_propensity_weights_undo_part_of_a_choice_as_all_groups_say(x64, rtol):
    with jax.enable_x64(x64):
        p, r = jnp.asarray(P, float), jnp.asarray(R, float)
        for k, exponent, temperature in itertools.product((2, 4), (0.0, 0.05, 0.5, 0.9, 1.0), (1.0, 0.5)):
            options = {"exponent": exponent, "temperature": temperature, "reward_range": 14.0}
            got = propensity(p, r, k, **options)
            np.testing.assert_allclose(got, enumerated(k, exponent, temperature), rtol=rtol, err_msg=f"{k}, {options}")


@pytest.mark.usefixtures("float64")
def test_without_weights_it_is_the_k_way_operator_and_a_range_too_small_is_seen():
    p, r = jnp.asarray(P), jnp.asarray(R)
    both = [f(p, r, 7.5, **o) for f, o in ((propensity, {"exponent": 0.0}), (jax.jit(theory.k_way_ratio), {}))]
    np.testing.assert_allclose(*both, rtol=1e-9)
    assert np.isnan(propensity(p, r, 2, exponent=0.5, reward_range=6.0)).all()
    with pytest.raises(ValueError, match="reward_range"):
        theory.propensity_ratio(p, r, 2, exponent=0.5, reward_range=6.0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.04, [0, 0, 0, 20]),
        (0.35, [0, 1 / 0.35, 0, 1 / 0.35]),
        (0.6, [0.5 / 0.6, 1 / 0.6, 0, 1 / 0.6]),
        (1.0, [1] * 4),
    ],
)
def test_the_top_fraction_is_filled_from_the_best_level_down(share, expected):
    np.testing.assert_allclose(jax.jit(theory.top_fraction_ratio)(P, R, share), expected, rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_a_level_at_the_edge_is_kept_evenly():
    """0.5 of the mass, of which the best holds 0.05 and the next level, of two points, 0.8."""
    ratio = jax.jit(theory.top_fraction_ratio)(P, jnp.array([1.0, 1.0, -4.0, 2.5]), 0.5)
    np.testing.assert_allclose(ratio, [0.45 / 0.8 / 0.5, 0.45 / 0.8 / 0.5, 0, 2])


@pytest.mark.usefixtures("float64")
def test_a_threshold_keeps_what_reaches_it_and_says_where_nothing_does():
    np.testing.assert_allclose(theory.threshold_ratio(P, R, 1.0), [0, 1 / 0.35, 0, 1 / 0.35])
    assert np.isnan(theory.threshold_ratio(P, R, 9.0)).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_rebalancing_moves_classes_and_not_what_is_in_them(strength):
    label, shares, held = np.array([0, 1, 0, 1]), np.array([0.2, 0.8]), np.array([0.65, 0.35])
    got = np.asarray(theory.rebalance(P, label, jnp.asarray(shares), strength))
    wanted = held ** (1 - strength) * shares**strength
    np.testing.assert_allclose([got[0] + got[2], got[1] + got[3]], wanted / wanted.sum())
    np.testing.assert_allclose([got[0] / got[2], got[1] / got[3]], [P[0] / P[2], P[1] / P[3]])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("lam", [0.7, np.inf])
def test_a_course_of_the_k_way_ratio_is_the_trajectory(lam):
    p, r = jnp.asarray(P), jnp.asarray(R)
    course = theory.course(lambda p: theory.k_way_ratio(p, r, 3), p, lam=lam, num=4)
    np.testing.assert_allclose(course, theory.trajectory(p, r, k=3, lam=lam, num=4), rtol=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("lam", [1.0, np.inf])
def test_a_course_that_is_lost_stays_lost(lam):
    """Real data would hide it: without the curated share p_ref is what is left."""
    p, r = jnp.asarray(P), jnp.asarray(R)
    course = theory.course(lambda p: theory.threshold_ratio(p, r, 9.0), p, lam=lam, num=3)
    np.testing.assert_array_equal(course[0], P)
    assert np.isnan(course[1:]).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("k", [2, 5, np.inf])
def test_a_bonus_to_the_rare_stands_still_at_its_regularised_optimum(k):
    """r − c log P is the same for all at P ∝ e^{r/c}; the pure loop comes there from afar, for c below 2."""
    c, r = 1.2, jnp.array([0.0, 1.0, -1.0, 0.5])
    course = theory.course(lambda p: theory.k_way_ratio(p, r - c * jnp.log(p), k), jnp.asarray(P), lam=jnp.inf, num=80)
    np.testing.assert_allclose(course[-1], theory.rlhf_optimum(jnp.full(4, 0.25), r, c), rtol=1e-6)
