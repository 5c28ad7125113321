"""The population's course: known numbers, identities along a trajectory, and the two kinds of limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from curated_retraining import theory

EPS, EPS32 = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
TWO_LEVELS = np.array([0.9, 0.1, 0.0, 0.0, 0.0]), np.array([0.0, 5.0, 0.0, 0.0, 0.0])  # p and r
FIVE = np.array([0.3, 0.1, 0.05, 0.35, 0.2]), np.array([0.5, 2.0, 2.0, -1.0, 1.2])  # two points tie at the top
SIZES = np.array([1.5, 2.0, 7.0, np.inf])


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def test_the_pure_course_of_two_levels():
    top = _trajectories(*TWO_LEVELS, [2.0, 4.0, np.inf], np.inf, num=6)[:, :, 1]
    expected = {
        0: [0.1000, 0.1888, 0.3399, 0.5613, 0.8042, 0.9596, 0.9978],
        1: [0.1000, 0.3378, 0.7977, 0.9958],
        2: [0.1000, 0.9428, 0.9996],
    }
    for row, printed in expected.items():
        np.testing.assert_allclose(top[row, : len(printed)], printed, rtol=0, atol=0.5e-4)  # half a printed digit


def test_the_mixed_limits_of_two_levels():
    k = np.repeat([4.0, 2.0], [5, 3])
    lam = np.array([0.1, 0.25, 0.5, 1.0, 2.0, 0.5, 1.0, 2.0])
    printed = [0.129, 0.194, 0.329, 0.520, 0.691, 0.169, 0.312, 0.581]
    limit = _mixed_limits(*TWO_LEVELS, k, lam)[:, 1]
    np.testing.assert_allclose(limit, printed, rtol=0, atol=0.5e-3)
    reached = _trajectories(*TWO_LEVELS, k, lam, num=300)[:, -1, 1]
    np.testing.assert_allclose(reached, limit, rtol=1e-5)  # float32


@pytest.mark.parametrize("lam", [2.0, np.inf])
def test_mass_stays_one_over_a_thousand_generations(lam):
    """Without renormalising, a rounding of mass would grow ηK-fold a generation."""
    mass = _trajectories(*FIVE, SIZES, lam, num=1000).sum(axis=2)
    np.testing.assert_allclose(mass, 1.0, rtol=6 * EPS32)  # a division and five additions


def test_the_divergence_from_the_limit_is_the_mass_not_yet_at_the_top(x64):
    p_0, r = FIVE
    course = _trajectories(p_0, r, SIZES, np.inf, num=40)
    limit = np.asarray(theory.pure_limit(jnp.asarray(p_0), jnp.asarray(r)))
    top = limit > 0
    divergence = np.sum(limit[top] * np.log(limit[top] / course[..., top]), axis=2)
    np.testing.assert_allclose(divergence, -np.log(course[..., top].sum(axis=2)), rtol=1e-10, atol=8 * EPS)
    assert (np.diff(divergence, axis=1)[divergence[:, :-1] > 1e-12] < 0).all()
    assert (divergence[1:, -1] < 1e-5).all()


def test_the_pure_limit_is_the_start_restricted_to_its_best_level():
    p_0, r = np.array([0.4, 0.2, 0.0, 0.3, 0.1]), np.array([0.0, 3.0, 9.0, 3.0, 1.0])  # the best has no mass
    limit = theory.pure_limit(jnp.asarray(p_0), jnp.asarray(r))
    np.testing.assert_allclose(limit, [0.0, 0.4, 0.0, 0.6, 0.0], rtol=4 * EPS32)
    reached = _trajectories(p_0, r, SIZES, np.inf, num=100)[:, -1]
    np.testing.assert_allclose(reached, np.broadcast_to(limit, (4, 5)), rtol=1e-5, atol=1e-5)  # float32


def test_infinite_k_tilts_by_the_reward_each_generation(x64):
    p_0, r = FIVE
    tilted = p_0 * np.exp(np.arange(7)[:, None] * r)
    course = _trajectories(p_0, r, [np.inf], np.inf, num=6)[0]
    np.testing.assert_allclose(course, tilted / tilted.sum(axis=1, keepdims=True), rtol=64 * EPS)


def test_real_data_enter_by_their_own_probabilities(x64):
    """K = 2 written out, with p_ref ≠ p_0: H(x) = 2 Σ_y p(y) a(x) / (a(x) + a(y))."""
    p_0, r = FIVE
    p_ref, share, a = p_0[::-1], 2.0 / 3.0, np.exp(r)
    expected = [p_0]
    for _ in range(4):
        ratio = 2 * (a[:, None] / (a[:, None] + a)) @ expected[-1]
        expected.append((1 - share) * p_ref + share * expected[-1] * ratio)
    course = _trajectories(p_0, r, [2.0], 2.0, num=4, p_ref=p_ref)[0]
    np.testing.assert_allclose(course, expected, rtol=1e-10)
    one = jax.jit(lambda p, r, p_ref: theory.retrain(p, r, k=2, lam=2.0, p_ref=p_ref))(p_0, r, p_ref)
    np.testing.assert_allclose(one, expected[1], rtol=1e-10)


def test_lam_zero_stays_at_the_real_data_and_lam_infinite_forgets_them(x64):
    p_0, r = FIVE
    p_ref = p_0[::-1]
    settled = _trajectories(p_0, r, SIZES, 0.0, num=3, p_ref=p_ref)
    np.testing.assert_allclose(settled[:, 1:], np.broadcast_to(p_ref, (4, 3, 5)), rtol=4 * EPS)
    np.testing.assert_allclose(settled[:, 0], np.broadcast_to(p_0, (4, 5)), rtol=0)
    pure = _trajectories(p_0, r, SIZES, np.inf, num=3)
    np.testing.assert_array_equal(_trajectories(p_0, r, SIZES, np.inf, num=3, p_ref=p_ref), pure)
    np.testing.assert_allclose(_trajectories(p_0, r, SIZES, 1e12, num=3, p_ref=p_ref), pure, rtol=1e-9)  # O(1/λ)


def test_the_mixed_limit_stands_still_and_is_reached_from_anywhere(x64):
    """Where ηK < 1 the step contracts total variation by ηK."""
    p_ref, r = FIVE
    k, lam = np.array([2.0, 3.5, 7.0, 40.0]), np.array([0.9, 0.3, 0.15, 0.02])
    factor = k * lam / (1 + lam)
    limit = _mixed_limits(p_ref, r, k, lam)
    still = _trajectories(limit, r, k, lam, num=1, p_ref=p_ref)[:, 1]
    np.testing.assert_allclose(still, limit, rtol=64 * EPS)
    elsewhere = np.eye(5)[3]
    course = _trajectories(elsewhere, r, k, lam, num=40, p_ref=p_ref)
    away = np.abs(course - limit[:, None]).sum(axis=2)
    assert (away <= away[:, :1] * factor[:, None] ** np.arange(41) + 64 * EPS).all()


def test_the_mixed_limit_at_infinite_k_has_a_closed_form(x64):
    """p = (1 − η) p_ref Z / (Z − η a), Z > η max a the root of E_ref[(1 − η) a / (Z − η a)] = 1."""
    (p_ref, r), lam = FIVE, np.array([0.05, 0.5, 1.0, 4.0])
    a = np.exp(r)
    limit = _mixed_limits(p_ref, r, np.full(4, np.inf), lam)
    for found, share in zip(limit, lam / (1 + lam), strict=True):

        def excess(z, share=share):
            return p_ref @ ((1 - share) * a / (z - share * a)) - 1

        z = brentq(excess, share * a.max() * (1 + 1e-9), 10 * a.max(), xtol=1e-14)
        np.testing.assert_allclose(found, (1 - share) * p_ref * z / (z - share * a), rtol=1e-11)


def test_the_limit_of_a_loop_with_several_is_the_one_that_it_began_near():
    """The pure loop: what its first model never draws does not come, though the real data have it."""
    p_ref, p_0, r = jnp.full(3, 1 / 3), jnp.array([0.5, 0.5, 0.0]), jnp.array([0.0, 4.0, 8.0])
    limit = jax.jit(lambda p_0: theory.mixed_limit(p_ref, r, k=jnp.inf, lam=jnp.inf, p_0=p_0))(p_0)
    np.testing.assert_allclose(limit, theory.pure_limit(p_0, r), atol=1e-6)


def test_a_limit_not_reached_is_nan():
    p, r = (jnp.asarray(value) for value in TWO_LEVELS)
    limit = jax.jit(lambda lam: theory.mixed_limit(p, r, k=2, lam=lam, max_steps=30))(jnp.array(1.0))
    assert np.isnan(limit).all()
    assert np.isfinite(_mixed_limits(*TWO_LEVELS, [2.0], [1.0])).all()


def test_vmaps_over_k_lam_temperature_and_reward(x64):
    p_0, r = FIVE
    k, lam, temperature, scale = np.array([[2.0, 7.0, np.inf], [0.5, 1.0, np.inf], [0.5, 2.0, 0.0], [1.0, 3.0, 0.1]])

    @jax.jit
    def course(r, k, lam, temperature):
        return theory.trajectory(jnp.asarray(p_0), r, k=k, lam=lam, temperature=temperature, num=3)

    each = np.stack([course(*row) for row in zip(np.outer(scale, r), k, lam, temperature, strict=True)])
    together = _trajectories(p_0, np.outer(scale, r), k, lam, temperature=temperature, num=3)
    np.testing.assert_allclose(together, each, rtol=1e-12, atol=EPS)
    assert len({tuple(row) for row in each[:, -1].round(6)}) == 3


def test_points_without_mass_stay_without_it():
    """Even where their reward is beyond the numbers of float32, the best of infinitely many is among the others."""
    p, r = np.array([0.5, 0.5, 0.0, 0.0, 0.0]), np.array([0.0, 1.0, 100.0, 0.0, 0.0])
    course = _trajectories(p, r, SIZES, np.inf, num=3)
    np.testing.assert_array_equal(course[..., 2:], 0.0)
    np.testing.assert_allclose(course.sum(axis=2), 1.0, rtol=4 * EPS32)
    cold = _trajectories(p, r, SIZES, np.inf, num=3, temperature=0.0)
    np.testing.assert_allclose(cold[:, 1, 1], 1 - 0.5**SIZES, rtol=1e-6)  # float32


def test_float32_keeps_its_type_beside_float64(x64):
    p, r = (jnp.asarray(value, jnp.float32) for value in TWO_LEVELS)
    course = jax.eval_shape(lambda p, r: theory.trajectory(p, r, k=2.0, lam=1.0, num=1), p, r)
    assert course.dtype == jnp.float32


def test_refuses_what_is_not_a_ratio():
    p, r = (jnp.asarray(value) for value in TWO_LEVELS)
    with pytest.raises(ValueError, match=r"lam=-0.5 is not a ratio #curated / #real"):
        jax.eval_shape(lambda p, r: theory.trajectory(p, r, k=2, lam=-0.5, num=1), p, r)


def test_the_curated_share_is_right_at_both_ends():
    share = theory.curated_share(jnp.array([0.0, 1.0, 3.0, jnp.inf]))
    np.testing.assert_array_equal(share, np.array([0.0, 0.5, 0.75, 1.0], np.float32))


def _trajectories(p_0, r, k, lam, *, num, p_ref=None, temperature=1.0):
    """One trajectory a group size, `[len(k), num + 1, 5]`; the others may have one row each."""
    n, p_ref = len(k), p_0 if p_ref is None else p_ref
    points, numbers = [_eight(n, p_0, 5), _eight(n, r, 5), _eight(n, p_ref, 5)], [k, lam, temperature]
    return np.asarray(_many_trajectories(*points, *[_eight(n, number) for number in numbers]))[:n, : num + 1]


def _mixed_limits(p_ref, r, k, lam):
    n = len(k)
    return np.asarray(_many_limits(_eight(n, p_ref, 5), _eight(n, r, 5), _eight(n, k), _eight(n, lam)))[:n]


def _eight(n, value, *points):
    """A value for each of `n` lanes, repeated to fill the eight of the two programs that all tests share."""
    return jnp.asarray(np.resize(np.broadcast_to(value, (n, *points)), (8, *points)), float)


@jax.jit
@jax.vmap
def _many_trajectories(p_0, r, p_ref, k, lam, temperature):
    return theory.trajectory(p_0, r, k=k, lam=lam, num=1000, p_ref=p_ref, temperature=temperature)


@jax.jit
@jax.vmap
def _many_limits(p_ref, r, k, lam):
    return theory.mixed_limit(p_ref, r, k=k, lam=lam)
