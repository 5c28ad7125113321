"""The ends of what the theory takes: huge K and λ, no mass, integers, short floats, and derivatives there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

P, R = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0])
TILT = np.exp(R) / (P @ np.exp(R))  # H at K = ∞
ERRORS = {"float64": 1e-7, "float32": 5e-5}  # as the operator says for any K
RARE = np.array([0.6, 0.4, 0.0])  # a point without mass


@pytest.mark.parametrize("dtype", ERRORS)
def test_a_huge_group_chooses_as_an_infinite_one(dtype):
    """Var[a] / E[a]² and (1 − a / E[a]) of order one are what is left, over K."""
    with jax.enable_x64(dtype == "float64"):
        ratio = jax.jit(jax.vmap(theory.k_way_ratio, in_axes=(None, None, 0)))
        for k in np.split(10.0 ** np.arange(3, 33), 3):
            found = np.asarray(ratio(jnp.asarray(P), jnp.asarray(R), jnp.asarray(k)), float)
            np.testing.assert_allclose(found @ P, 1, rtol=ERRORS[dtype])
            away = np.abs(found / TILT - 1)
            assert (away < ERRORS[dtype] + 5 / k[:, None]).all()
            if k[0] < 1e4:
                assert (away[0] > 1e-4).all()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_derivatives_in_float32_are_those_in_float64(temperature):
    """At the range that is assumed where rewards are traced, 100."""

    def ratios(p, r):
        undone = theory.propensity_ratio(p, r, 2.0, exponent=0.5, temperature=temperature)
        return theory.k_way_ratio(p, r, 2.0, temperature=temperature), undone

    slopes = jax.jit(jax.jacobian(ratios, argnums=1))
    short = slopes(jnp.asarray(P), jnp.asarray(R))
    with jax.enable_x64(True):
        exact = slopes(jnp.asarray(P), jnp.asarray(R))
    for found, expected in zip(short, exact, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("k", [2.0, 7.5, np.inf])
def test_derivatives_in_a_probability_of_zero_are_one_sided(k):
    """By differences of (−3 f(0) + 4 f(h) − f(2h)) / 2h, whose error is of order h² = 1e-10, and 1e-11 of rounding."""

    def following(p):
        return theory.retrain(p, R, k=k, lam=jnp.inf, p_ref=jnp.asarray(RARE))

    def potential(p):
        return theory.crowd_potential(p, jnp.stack([R, -R]), jnp.array([0.3, 0.7]))

    for of in (following, potential):
        with jax.enable_x64(True):
            more = jnp.asarray([0.0, 0.0, 1e-5])
            none, once, twice = jax.jit(jax.vmap(of))(jnp.stack([RARE, RARE + more, RARE + 2 * more]))
            expected = (-3 * none + 4 * once - twice) / 2e-5
            found = jax.jit(jax.jacobian(of))(jnp.asarray(RARE))[..., 2]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
        assert np.abs(expected).max() > 0.1


def test_the_derivative_of_the_curated_share_is_right_at_both_ends():
    lam = jnp.array([0.0, 0.5, 1.0, 3.0, jnp.inf])
    found = jax.vmap(jax.grad(theory.curated_share))(lam)
    np.testing.assert_allclose(found, 1 / (1 + lam) ** 2, rtol=1e-6)
    assert np.isnan(jax.jit(theory.curated_share)(-0.5))


def test_little_real_data_keeps_all_its_share_in_float32():
    """Masses of what has vanished but for the real data, p_ref / (1 + λ), and the ceiling log(1 + λ)."""
    lam = np.array([1e6, 1e7, 1e8, 1e12])

    @jax.jit
    @jax.vmap
    def of(lam):
        gone = theory.retrain(jnp.array([0.0, 1.0]), jnp.zeros(2), k=2, lam=lam, p_ref=jnp.array([0.5, 0.5]))
        limit = theory.tilt_limit(jnp.array([0.7, 0.3]), jnp.array([0.0, 1.0]), lam=lam)
        return theory.real_kl_ceiling(lam), gone[0], limit[0]

    ceiling, gone, limit = of(lam)
    np.testing.assert_allclose(ceiling, np.log1p(lam), rtol=1e-6)
    np.testing.assert_allclose(gone, 0.5 / (1 + lam), rtol=1e-6)
    np.testing.assert_allclose(limit, 0.7 / (1 + lam) / (1 - np.exp(-1)), rtol=1e-5)


def test_the_two_level_map_of_large_groups():
    """The first order in the gap, 1/2 + (1 − 1/K) Δ / 4; the next is of order Δ³."""
    for k in (2, 1000, 1_000_000):
        np.testing.assert_allclose(theory.two_level_map(0.5, k=k, gap=0.01), 0.5 + (1 - 1 / k) / 400, rtol=2e-6)


@pytest.mark.parametrize("dtype", ["uint8", "bfloat16"])
def test_other_numbers_mean_what_they_say(dtype):
    """Rewards 0, 1, 2 and probabilities 0, 1, 0 have no rounding in any of them: the answers are those of float32."""
    p, r, sure = jnp.asarray(P, jnp.float32), jnp.asarray(R, dtype), jnp.asarray([0, 1, 0], dtype)
    full = jnp.asarray(R, jnp.float32)
    for of in map(jax.jit, (
        lambda p, r: theory.k_way_ratio(p, r, 2.5),
        lambda p, r: theory.top_fraction_ratio(p, r, 0.25),
        lambda p, r: theory.threshold_ratio(p, r, 1.0),
        lambda p, r: theory.propensity_ratio(p, r, 2.5, exponent=0.5),
        lambda p, r: theory.reward_increment_bound(p, r, k=2.5),
        lambda p, r: theory.reward_floor(p, r, k=2.5, lam=1.0),
        lambda p, r: theory.mixed_limit(jnp.full(3, 1 / 3), r, k=2.5, lam=0.5),
        lambda p, r: theory.retrain(p, r, k=2, lam=1.0, p_ref=jnp.full(3, 1 / 3)),
        lambda p, r: theory.tilt_limit(jnp.full(3, 1 / 3), r, lam=1.0),
    )):  # fmt: skip
        found = of(p, r)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, of(p, full))
        np.testing.assert_array_equal(of(sure, r), of(sure.astype(jnp.float32), full))


def test_duels_told_by_booleans():
    """A tie cannot be told by them: true both ways is no preference."""
    wins = jnp.array([[True, False], [True, True]])
    with pytest.raises(ValueError, match=r"P \+ P"):
        theory.pairwise_ratio(jnp.full(2, 0.5), wins, 2)


def test_classes_and_levels_without_mass():
    p, label = jnp.array([0.5, 0.5, 0.0]), jnp.array([0, 0, 1])
    assert np.isnan(theory.rebalance(p, label, jnp.array([0.5, 0.5]))).all()
    np.testing.assert_allclose(theory.rebalance(p, label, jnp.array([1.0, 0.0])), p)
    np.testing.assert_allclose(theory.top_fraction_ratio(p, jnp.asarray(R), 0.25), [0, 2, 4])
    assert theory.reward_floor(p, jnp.array([0.0, 1.0, 100.0]), k=2, lam=1.0) < 3


@pytest.mark.parametrize("of", [theory.top_fraction_ratio, theory.threshold_ratio])
def test_a_reward_that_is_no_number_ranks_nowhere(of):
    assert np.isnan(of(jnp.asarray(P), jnp.array([0.0, jnp.nan, 2.0]), 0.5)).all()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: theory.tail_rate(k=0.5, gap=1.0), "k=0.5"),
        (lambda: theory.effective_k(k=0.5, reward_range=1.0), "k=0.5"),
        (lambda: theory.reward_increment_bound(P, R, k=0.5), "k=0.5"),
        (lambda: theory.basin_map(P, P, k=0.5), "k=0.5"),
        (lambda: theory.propensity_ratio(P, R, 1e4, exponent=0.5), "k=10000.0"),
        (lambda: theory.rebalance(P, jnp.arange(3), P, 2.0), "strength=2.0"),
    ],
)
def test_what_is_out_of_range_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()
