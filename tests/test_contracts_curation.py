"""What every choice, curator and mixing keeps to: a row each, the same tests for all.

Events are neither vectors nor floats here.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from parts import Counted, built, named

import curated_retraining as cr
from curated_retraining.types import Choice, Curator, lift_all

EPS = float(jnp.finfo(jnp.float32).eps)
EVENT, POOL_SIZE = (2, 3), 16
SLOT, REAL = 6, 10


class Row(NamedTuple):
    build: Callable[..., Any]  # of one of `values`, where there are some
    values: tuple = ()  # of an argument that is data: it may be traced and vmapped
    curated: int = POOL_SIZE  # points that are made of a pool


def _new_real(key):
    return cr.uniform(jnp.broadcast_to(jax.random.randint(key, (5, 1, 1), 0, 10), (5, 2, 3)))


def _two_minded(curator):
    """Curation of points whom a second annotator sees the other way round."""
    return Partial(_asked_twice, curator)


def _asked_twice(curator, key, pool, reward):
    return curator(key, pool, jnp.stack([reward, -reward], axis=-1))


def _cyclic(strength, x, y):
    """Of numbers modulo 3, each is preferred to the one before it."""
    return 0.5 + 0.5 * strength * jnp.sin(2 * jnp.pi * (x - y)[0, 0] / 3)


def _parity(x):
    return x.reshape(x.shape[0], -1)[:, 0] % 2


CURATORS = {
    "k_way": Row(lambda t: cr.k_way(2, cr.luce(t)), values=(1.0, 0.0, 3.0), curated=8),
    "crowd": Row(
        lambda q: _two_minded(cr.k_way(2, cr.crowd((q, 1 - q), (1.0, 0.0)))), values=(0.3, 0.0, 1.0), curated=8
    ),
    "flipped": Row(lambda f: cr.k_way(2, cr.flipped(cr.luce(), f)), values=(0.3, 0.0, 1.0), curated=8),
    "pairwise": Row(lambda a: cr.k_way(4, cr.pairwise(Partial(_cyclic, a))), values=(1.0, 0.0, -0.4), curated=4),
    "rounds": Row(lambda t: cr.rounds(cr.k_way(4, cr.luce(t)), 3), values=(1.0, 0.0, 3.0), curated=12),
    "tilt": Row(cr.tilt, values=(1.0, 0.0, 3.0)),
    "crowd_tilt": Row(lambda q: _two_minded(cr.crowd_tilt((q, 1 - q), 1.0, 0.1)), values=(0.3, 0.0, 1.0)),
    "top_fraction": Row(cr.top_fraction, values=(0.3, 1.0, 0.01)),
    "threshold": Row(cr.threshold, values=(0.0, -9.0, 0.5)),
    "everything": Row(cr.everything),
    "inverse_propensity": Row(lambda e: cr.inverse_propensity(2, cr.luce(), e), values=(0.5, 0.0, 1.0), curated=8),
    "quota": Row(lambda m: cr.quota(cr.tilt(), _parity, (0.3, 0.7), m), values=(1.0, 0.0, 0.4)),
}
LAMS = (1.0, 0.0, 0.25, jnp.inf)
MIXINGS = {
    "replace": Row(cr.replace),
    "with_real": Row(cr.with_real, values=LAMS),
    "fresh": Row(lambda lam: cr.fresh(_new_real, lam), values=LAMS),
    "accumulate": Row(lambda: cr.accumulate(3)),
    "accumulate_subsample": Row(lambda: cr.accumulate_subsample(3, 64)),
}


def argued(table):
    return [name for name, row in table.items() if row.values]


def numbered(start, num):
    """Integer events `[num, *EVENT]` counted from `start`, so that each is its own number."""
    return jnp.broadcast_to(jnp.arange(start, start + num)[:, None, None], (num, *EVENT))


def scored(seed):
    """A pool with a reward; rewards tie in pairs."""
    reward = jax.random.normal(jax.random.key(seed), (POOL_SIZE // 2,)) + 0.5
    return numbered(seed, POOL_SIZE), jnp.repeat(reward, 2)


@functools.cache
def curate(name):
    return Counted(lambda curator, key, pool, reward: curator(key, pool, reward))


@pytest.mark.parametrize("name", CURATORS)
def test_curated_points_are_points_of_the_pool_with_weights_that_sum_to_one(name):
    for seed, curator in enumerate(built(CURATORS[name])):
        pool, reward = scored(seed)
        x, weight = curate(name)(curator, jax.random.key(1), pool, reward)
        num = CURATORS[name].curated
        assert x.shape == (num, *EVENT) and weight.shape == (num,) and x.dtype == pool.dtype
        assert (np.asarray(weight) >= 0).all()
        np.testing.assert_allclose(weight.sum(), 1, atol=num * EPS)
        assert np.isin(x, pool).all() and (np.ptp(x, axis=(1, 2)) == 0).all()


@pytest.mark.parametrize("name", CURATORS)
def test_the_key_decides_the_choice(name):
    curator = built(CURATORS[name])[0]
    once, again = (curate(name)(curator, jax.random.key(2), *scored(0)) for _ in range(2))
    chex.assert_trees_all_equal(once, again)


@pytest.mark.parametrize("name", CURATORS)
def test_new_pools_rewards_and_arguments_cause_no_retrace(name):
    for seed, curator in enumerate(2 * built(CURATORS[name])):
        curate(name)(curator, jax.random.key(seed), *scored(seed))
    assert curate(name).traces == 1


@pytest.mark.parametrize("name", argued(CURATORS))
def test_arguments_of_curators_vmap(name):
    """A batch of temperatures, shares or thresholds gives what each alone gives."""
    build, values = CURATORS[name].build, jnp.array(CURATORS[name].values)
    together = jax.jit(jax.vmap(lambda value: build(value)(jax.random.key(3), *scored(0))))(values)
    for i, curator in enumerate(built(CURATORS[name])):
        alone = curate(name)(curator, jax.random.key(3), *scored(0))
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, atol=POOL_SIZE * EPS)


@functools.cache
def mix(name):
    return Counted(lambda mixing, key, memory, curated: mixing.mix(key, memory, curated))


@pytest.mark.parametrize("name", MIXINGS)
def test_three_generations_keep_the_memory_and_train_on_what_is_known_with_weights_that_sum_to_one(name):
    for mixing in map(lift_all, built(MIXINGS[name])):
        memory = begin = mixing.init(cr.uniform(numbered(0, REAL)), SLOT)
        for generation in range(1, 4):
            curated = cr.uniform(numbered(100 * generation, SLOT))
            (x, weight), memory = mix(name)(mixing, jax.random.key(generation), memory, curated)
            assert x.shape == (*weight.shape, *EVENT) and x.dtype == curated.x.dtype
            assert (np.asarray(weight) >= 0).all()
            np.testing.assert_allclose(weight.sum(), 1, atol=len(weight) * EPS)
            made = [numbered(100 * g, SLOT) for g in range(1, generation + 1)]
            assert np.isin(np.asarray(x)[np.asarray(weight) > 0], np.concatenate([numbered(0, REAL), *made])).all()
        chex.assert_trees_all_equal_structs(begin, memory)
        chex.assert_trees_all_equal_shapes_and_dtypes(begin, memory)
    assert mix(name).traces == 1


@pytest.mark.parametrize("name", argued(MIXINGS))
def test_lam_vmaps_and_is_the_ratio_of_curated_to_real_weight(name):
    def curated_weight(lam):
        mixing = MIXINGS[name].build(lam)
        memory = mixing.init(cr.uniform(numbered(0, REAL)), SLOT)
        (x, weight), _ = mixing.mix(jax.random.key(0), memory, cr.uniform(numbered(100, SLOT)))
        return jnp.where(x[:, 0, 0] >= 100, weight, 0.0).sum(), weight.sum()

    share, total = jax.jit(jax.vmap(curated_weight))(jnp.array(LAMS))
    np.testing.assert_allclose(total, 1, atol=(REAL + SLOT) * EPS)
    np.testing.assert_allclose(share, [1 / 2, 0, 1 / 5, 1], atol=(REAL + SLOT) * EPS)


def test_every_public_choice_curator_and_mixing_has_its_row():
    assert named("curation", Choice, Curator) - {"luce"} == CURATORS.keys()  # the row of `k_way` is of both
    assert named("mixing", cr.Mixing) - {"accumulate_moments"} == MIXINGS.keys()  # which takes vectors alone
