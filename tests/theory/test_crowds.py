"""Crowds that lapse, choices that are flipped and basins at finite K, against enumeration and the K-wise operator."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

P = np.array([0.1, 0.35, 0.05, 0.3, 0.2])
R = np.array([1.0, -2.0, 3.0, 0.0, 0.5])
CLASS = np.array([True, False, False, True, False])
ACCURACY = {np.float64: 1e-9, np.float32: 5e-5}  # of the operator, relative


def by_enumeration(k, flip, where):
    """The curated distribution, group by group."""
    chosen = np.zeros(5)
    for group in itertools.product(range(5), repeat=k):
        rows = list(group)
        share = np.exp(R[rows]) / np.exp(R[rows]).sum()
        turned = flip if where[rows].any() else 0
        np.add.at(chosen, rows, P[rows].prod() * ((1 - turned) * share + turned * (1 - share) / (k - 1)))
    return chosen


@pytest.mark.parametrize("dtype", ACCURACY)
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("where", [None, CLASS, np.zeros(5, bool)])
def test_flips_are_those_of_all_groups(dtype, k, where):
    with jax.enable_x64(dtype == np.float64):
        p, honest = jnp.asarray(P, dtype), theory.k_way_operator(jnp.asarray(R, dtype))
        for flip in (0.0, 0.3, 1.0):
            ratio = theory.flipped_operator(honest, flip, None if where is None else jnp.asarray(where))(p, k)
            expected = by_enumeration(k, flip, np.ones(5, bool) if where is None else where)
            assert ratio.dtype == dtype
            np.testing.assert_allclose(p * ratio, expected, rtol=ACCURACY[dtype], atol=ACCURACY[dtype] * 0.01)


@pytest.mark.usefixtures("float64")
def test_of_infinitely_many_any_other_is_taken():
    p, honest = jnp.asarray(P), theory.k_way_operator(jnp.asarray(R), temperature=0.0)
    limit = honest(p, jnp.inf)
    everywhere = theory.flipped_operator(honest, 0.3)(p, jnp.inf)
    np.testing.assert_allclose(everywhere, 0.7 * limit + 0.3)
    np.testing.assert_allclose(theory.flipped_operator(honest, 0.3, jnp.asarray(CLASS))(p, jnp.inf), everywhere)
    spared = theory.flipped_operator(honest, 0.3, jnp.zeros(5, bool))(p, jnp.inf)
    np.testing.assert_allclose(spared, limit)
    near = theory.flipped_operator(theory.k_way_operator(jnp.asarray(R)), 0.3, jnp.asarray(CLASS))
    np.testing.assert_allclose(near(p, 1e6), near(p, jnp.inf), rtol=1e-4)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("k", [3.0, jnp.inf])
def test_each_type_of_a_crowd_may_have_its_own_lapses(k):
    r, users = jnp.stack([jnp.asarray(R), -jnp.asarray(R)]), jnp.array([0.3, 0.7])
    mixed = theory.crowd_operator(r, users, lapse=np.array([0.0, 0.4]))(jnp.asarray(P), k)
    one, other = (theory.k_way_ratio(jnp.asarray(P), row, k) for row in r)
    np.testing.assert_allclose(mixed, 0.3 * one + 0.7 * (0.6 * other + 0.4), rtol=1e-12)
    alone = theory.crowd_operator(r[0], lapse=0.25)(jnp.asarray(P), k)
    np.testing.assert_allclose(alone, 0.75 * one + 0.25, rtol=1e-12)
    for lapse, message in ((jnp.ones(3), r"lapse of shape \(3,\)"), (1.5, r"lapse=1\.5")):
        with pytest.raises(ValueError, match=message):
            theory.crowd_operator(r, users, lapse=lapse)


@pytest.mark.usefixtures("float64")
def test_the_potential_weighs_the_types_by_their_shares():
    p, r, users = np.array([0.2, 0.8]), np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 3.0]]), np.array([0.5, 0.3, 0.2])
    found = theory.crowd_potential(jnp.asarray(p), jnp.asarray(r), jnp.asarray(users))
    np.testing.assert_allclose(found, users @ np.log(np.exp(r) @ p), rtol=1e-6)


def test_the_potential_never_falls_where_annotators_lapse():
    """At K = ∞, by the shares of those who do not; at K = 2 it falls by tenths, as a majority takes all."""
    rng = np.random.default_rng(0)
    r, users, lapse = jnp.asarray(rng.normal(size=(3, 5)) * 4), jnp.array([0.5, 0.3, 0.2]), jnp.array([0.5, 0.1, 0.0])

    def change(k):
        operator = theory.crowd_operator(r, users, lapse=lapse)
        p = theory.course(lambda p: operator(p, k), jnp.asarray(P), lam=jnp.inf, num=30)
        return np.diff(jax.vmap(theory.crowd_potential, in_axes=(0, None, None))(p, r, users * (1 - lapse)))

    assert change(jnp.inf).min() > -1e-12 and change(jnp.inf).max() > 0.1
    basins = jnp.asarray(60.0 * (np.eye(5)[:2] - 1))
    p = theory.trajectory(jnp.asarray(P), basins, k=2, lam=jnp.inf, num=30, users=jnp.array([0.7, 0.3]))
    falls = np.diff(jax.vmap(theory.crowd_potential, in_axes=(0, None, None))(p, basins, jnp.array([0.7, 0.3])))
    assert falls.min() < -0.1


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("k", [2.0, 3.5, 10.0, jnp.inf])
def test_the_basin_map_is_a_generation(k):
    """Each of three types likes one point by 60 and finds the rest alike."""
    share, users = jnp.array([0.5, 0.4, 0.1]), jnp.array([0.2, 0.3, 0.5])
    r = jnp.asarray(60.0 * (np.eye(3) - 1))
    step = theory.retrain(share, r, k=k, lam=jnp.inf, p_ref=share, users=users)
    np.testing.assert_allclose(theory.basin_map(share, users, k=k), step, rtol=1e-8)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_minority_lasts_where_its_share_is_over_one_in_k(k):
    def end(q):
        users = jnp.array([1 - q, q])
        return jax.lax.fori_loop(0, 4000, lambda _, p: theory.basin_map(p, users, k=k), jnp.array([0.5, 0.5]))[1]

    below, above = 0.95 / k, min(1.05 / k, 0.499)
    assert end(below) < 1e-6
    if above < 0.499:
        assert 1e-2 < end(above) < above  # and less than its share
    np.testing.assert_allclose(end(0.5), 0.5, rtol=1e-9)


@pytest.mark.usefixtures("float64")
def test_the_gain_under_an_operator_is_that_of_one_generation():
    r, p = jnp.asarray(R), jnp.asarray(P)
    operator = theory.flipped_operator(theory.k_way_operator(r), 0.9, jnp.asarray(CLASS))
    later = theory.course(lambda p: operator(p, 4), p, lam=jnp.inf, num=1)[1]
    gain = theory.reward_gain(p, r, k=4, chosen_by=operator)
    np.testing.assert_allclose(gain, (later - p) @ jnp.exp(r), rtol=1e-9)
    np.testing.assert_allclose(
        theory.reward_gain(p, r, k=4, chosen_by=-r), theory.reward_gain(p, r, k=4, chosen_by=theory.k_way_operator(-r))
    )
