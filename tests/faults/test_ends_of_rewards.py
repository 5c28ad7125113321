"""Rewards at the end of what floats hold, equal or of few bits: each curator weighs by its limit, or refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr

POOL = jnp.arange(8.0)[:, None]


def preferred(reward, x, y):
    """By the reward of each point, which is its place in `POOL`."""
    return jax.nn.sigmoid(reward[x.astype(int)[0]] - reward[y.astype(int)[0]])


def alike(curate):
    """The curator of a crowd whose two types feel the same."""
    return lambda key, pool, reward: curate(key, pool, jnp.stack([reward, reward], axis=1))


CURATORS = {
    "luce": cr.k_way(2, cr.luce(1.0)),
    "best": cr.k_way(8, cr.luce(0.0)),
    "crowd": alike(cr.k_way(2, cr.crowd((0.3, 0.7)))),
    "duels": lambda key, pool, reward: cr.k_way(2, cr.pairwise(Partial(preferred, reward)))(key, pool, reward),
    "flipped": cr.k_way(2, cr.flipped(cr.luce(1.0), 1.0)),
    "inverse": cr.inverse_propensity(2, cr.luce(1.0)),
    "tilt": cr.tilt(1.0),
    "crowd_tilt": alike(cr.crowd_tilt((0.3, 0.7))),
    "quota": cr.quota(cr.tilt(1.0), lambda x: (x[:, 0] >= 4).astype(int), (0.75, 0.25)),
    "rounds": cr.rounds(cr.threshold(0.5), 3),
    "top_fraction": cr.top_fraction(0.25),
    "threshold": cr.threshold(0.5),
}
OF_PAIRS = ("luce", "crowd", "duels", "flipped", "inverse")  # each keeps one point of each


@pytest.fixture(scope="module", params=CURATORS)
def curated(request):
    """The curator, and the total weight of each point of the pool under rewards given as a list."""
    curate = jax.jit(CURATORS[request.param])

    def weight(reward, seed=0):
        kept = curate(jax.random.key(seed), POOL, jnp.asarray(reward, float))
        return np.bincount(np.asarray(kept.x[:, 0], int), weights=kept.weight, minlength=8)

    return request.param, weight


def test_a_reward_that_is_no_number_is_refused(curated):
    _, weight = curated
    assert np.isnan(weight([0, 1, 2, 3, np.nan, 5, 6, 7])).any()


@pytest.mark.parametrize(("low", "high"), [(-1e30, 1e30), (-np.inf, 1), (-np.inf, 1e30)])
def test_huge_rewards_and_those_that_can_never_be_chosen_have_the_weights_of_their_limit(curated, low, high):
    """Of each pair one is certain, and the four best are equal."""
    name, weight = curated
    found = weight([low, high, high, low, low, high, high, low])
    best, others = found[[1, 2, 5, 6]], found[[0, 3, 4, 7]]
    if name == "flipped":
        best, others = others, best
    expected = {"best": np.eye(4)[best.argmax()], "quota": [0.375, 0.375, 0.125, 0.125]}.get(name, np.full(4, 0.25))
    np.testing.assert_allclose(best, expected, rtol=1e-6)
    np.testing.assert_array_equal(others, 0)


def test_where_none_can_be_chosen_all_tie_or_are_refused(curated):
    name, weight = curated
    nobody = weight([-np.inf] * 8)
    if name == "top_fraction":  # the best quarter is shared by all
        np.testing.assert_allclose(nobody, 1 / 8)
    else:
        assert np.isnan(nobody).any()


def test_an_infinitely_good_point_is_taken_or_refused(curated):
    """Where rewards are subtracted or exponentiated it is no number; duels, ranks and limits take it."""
    name, weight = curated
    found = weight([0, 0, 0, 0, 0, np.inf, 0, 0])
    if name == "duels":
        np.testing.assert_allclose([*found.reshape(4, 2).sum(axis=1), found[5]], 0.25)
    elif name == "top_fraction":  # the second place is shared by the seven others
        np.testing.assert_allclose(found, np.where(np.arange(8) == 5, 1 / 2, 1 / 14), rtol=1e-6)
    elif name in ("threshold", "rounds"):
        np.testing.assert_allclose(found, np.arange(8) == 5)
    else:
        assert np.isnan(found).any()


def test_equal_rewards_weigh_evenly(curated):
    name, weight = curated
    found = weight([1] * 8)
    if name in OF_PAIRS:
        np.testing.assert_array_equal(np.sort(found.reshape(4, 2)), [[0, 0.25]] * 4)
    elif name == "best":
        np.testing.assert_array_equal(np.sort(found), [0] * 7 + [1])
    else:
        even = np.repeat([0.75 / 4, 0.25 / 4], 4) if name == "quota" else np.full(8, 1 / 8)
        np.testing.assert_allclose(found, even, rtol=1e-6)


def test_each_of_three_equals_is_chosen_with_one_in_three():
    choices = [cr.luce(1.0), cr.luce(0.0), cr.pairwise(lambda x, y: jnp.array(0.5)), cr.flipped(cr.luce(1.0), 0.3)]

    @jax.jit
    def chances(key, reward):
        shown = [choose(each, POOL[:3], reward) for choose, each in zip(choices, jax.random.split(key, 4), strict=True)]
        crowd = cr.crowd((0.3, 0.7))(jax.random.fold_in(key, 4), POOL[:3], jnp.stack([reward, reward], axis=1))
        return jax.nn.softmax(jnp.stack([*shown, crowd]))

    for reward in (0.0, 1e30, -1e30):
        np.testing.assert_allclose(chances(jax.random.key(0), jnp.full(3, reward)), 1 / 3, rtol=1e-6)


def test_the_ends_of_the_temperature():
    choose = jax.jit(
        lambda temperature: jax.nn.softmax(cr.luce(temperature)(None, None, jnp.array([0.0, 1.0, 3.0, 3.0])))
    )
    np.testing.assert_allclose(choose(0.0), [0, 0, 0.5, 0.5])
    np.testing.assert_allclose(choose(1e-30), [0, 0, 0.5, 0.5])
    np.testing.assert_allclose(choose(jnp.inf), np.full(4, 0.25))
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match="temperature="):
            cr.luce(bad)


def test_groups_larger_than_the_pool_are_refused():
    with pytest.raises(ValueError, match="a pool of 8 does not split into groups of 16"):
        jax.eval_shape(cr.k_way(16, cr.luce()), jax.random.key(0), POOL, POOL[:, 0])


@pytest.mark.parametrize("curate", [cr.k_way(2, cr.luce()), cr.tilt(), cr.top_fraction(0.5), cr.threshold(1.0)])
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int8, bool, jnp.complex64])
def test_rewards_whose_differences_are_not_meant_are_refused(curate, dtype):
    """255 − 0 is more than an int8 holds, and 0 − 1 no uint8: choices by them would be others."""
    with pytest.raises(ValueError, match=rf"real rewards, not {jnp.dtype(dtype)}"):
        jax.eval_shape(curate, jax.random.key(0), POOL, jnp.zeros(8, dtype))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_rewards_of_half_precision_are_chosen_among_as_those_of_float32(dtype):
    """The bits of the same numbers in float32: drawn in halves, the first of 256 candidates would win more often."""

    def own(key, x, reward):
        return reward

    choices = cr.luce(0.5), own, cr.flipped(own, 0.3)
    curators = [*(cr.k_way(256, choice) for choice in choices), cr.crowd_tilt((0.7, 0.3), (0.5, 2.0))]
    pool = jnp.arange(4096)

    @jax.jit
    def found(reward):
        rewards = [reward, reward, reward, jnp.stack([reward, -reward], axis=1)]
        return [curate(jax.random.key(0), pool, r) for curate, r in zip(curators, rewards, strict=True)]

    reward = jax.random.normal(jax.random.key(1), (4096,), dtype)
    for half, single in zip(found(reward), found(reward.astype(jnp.float32)), strict=True):
        np.testing.assert_array_equal(half.x, single.x)
        np.testing.assert_array_equal(half.weight, single.weight)
        assert half.weight.dtype == jnp.float32


@pytest.mark.parametrize("curate", [cr.tilt(), cr.threshold(0.0), cr.top_fraction(0.5)])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_weights_by_rewards_of_half_precision_are_of_float32(curate, dtype):
    """In halves the count of 100,000 points is infinite, and sums of their weights have 128 or 1,024 values."""
    weight = jax.jit(curate)(jax.random.key(0), jnp.zeros(100_000), jnp.zeros(100_000, dtype)).weight
    assert weight.dtype == jnp.float32
    np.testing.assert_allclose(weight, 1e-5, rtol=1e-6)
