import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import data, mixing
from curated_retraining.types import Dataset

REAL = data.uniform(jnp.arange(6.0)[:, None])
ERRORS = [
    (lambda: mixing.with_real(-1.0), r"lam=-1"),
    (lambda: mixing.with_real(np.nan), "lam=nan"),
    (lambda: mixing.fresh(lambda key: REAL, -0.5), "lam=-0.5"),
    (lambda: mixing.accumulate(0), "generations=0"),
    (lambda: mixing.accumulate_subsample(0, 5), "generations=0"),
    (lambda: mixing.accumulate_subsample(3, 0), "size=0"),
    (lambda: mixing.accumulate_moments().init(data.uniform(jnp.zeros((4, 2, 2))), 2), r"shape \(2, 2\)"),
    (lambda: mix(mixing.accumulate(3), curated(0, 4), slot=2), "adds 4 curated points, but start was told slot=2"),
    *[
        (
            lambda family=family: mix(family, curated(0, 2), real=data.uniform(jnp.arange(6)[:, None])),
            "float32 .* int32",
        )
        for family in (mixing.accumulate(3), mixing.accumulate_subsample(3, 4))
    ],
]


def curated(generation, slot):
    """`slot` points that no other generation and no real data has."""
    return data.uniform(100.0 * (generation + 1) + jnp.arange(float(slot))[:, None])


def mix(family, *generations, slot=2, real=REAL):
    """What each of several generations trains on, and the memory after them."""
    memory, trains = family.init(real, slot), []
    for i, new in enumerate(generations):
        train, memory = family.mix(jax.random.key(i), memory, new)
        trains.append(train)
    return trains, memory


@pytest.mark.parametrize(("act", "message"), ERRORS)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_replace_trains_on_the_curated_alone():
    (train,), memory = mix(mixing.replace(), curated(0, 2))
    np.testing.assert_array_equal(train.x, curated(0, 2).x)
    np.testing.assert_array_equal(train.weight, [0.5, 0.5])
    assert jax.tree.leaves(memory) == []


@pytest.mark.parametrize("build", [mixing.with_real, lambda lam: mixing.fresh(lambda key: REAL, lam)])
def test_lam_is_the_ratio_of_weights_whatever_the_numbers_of_points(build):
    """Curated to real as λ to 1, exactly at λ = 0 and λ = ∞; λ is data."""
    lams = jnp.array([0.0, 0.5, 1.0, jnp.inf])
    new = Dataset(curated(0, 2).x, jnp.array([0.75, 0.25]))
    train = jax.vmap(lambda lam: mix(build(lam), new)[0][0])(lams)
    for i, share in enumerate([0, 1 / 3, 1 / 2, 1]):
        expected = np.concatenate([np.full(6, (1 - share) / 6), share * np.array([0.75, 0.25])])
        np.testing.assert_allclose(train.weight[i], expected, rtol=1e-6)
        np.testing.assert_array_equal(train.x[i], np.concatenate([REAL.x, new.x]))


def test_with_real_keeps_the_data_of_generation_0():
    trains, memory = mix(mixing.with_real(1.0), curated(0, 2), curated(1, 3))
    np.testing.assert_array_equal(memory.x, REAL.x)
    np.testing.assert_array_equal(trains[1].x, np.concatenate([REAL.x, curated(1, 3).x]))


def test_fresh_draws_new_real_data_in_each_generation():
    family = mixing.fresh(lambda key: data.uniform(jax.random.normal(key, (6, 1))), 1.0)
    trains, memory = mix(family, curated(0, 2), curated(1, 2))
    real = np.concatenate([train.x[:6] for train in trains])
    assert len(np.unique(real)) == 12 and jax.tree.leaves(memory) == []
    np.testing.assert_array_equal(trains[0].x[:6], jax.random.normal(jax.random.key(0), (6, 1)))


def test_accumulate_counts_each_point_the_same():
    trains, _ = mix(mixing.accumulate(3), *(curated(i, 2) for i in range(3)))
    for t, train in enumerate(trains):
        counted = np.asarray(train.weight) > 0
        seen = np.concatenate([REAL.x, *(curated(i, 2).x for i in range(t + 1))])
        np.testing.assert_array_equal(np.asarray(train.x)[counted], seen)
        np.testing.assert_allclose(np.asarray(train.weight)[counted], 1 / len(seen), rtol=1e-6)


def test_accumulate_keeps_the_weights_within_a_generation():
    """Two curated and six real points: the two hold 2/8 of the mass, divided as they came."""
    (train,), _ = mix(mixing.accumulate(1), Dataset(curated(0, 2).x, jnp.array([0.75, 0.25])))
    np.testing.assert_allclose(train.weight, [*6 * [1 / 8], 0.75 / 4, 0.25 / 4], rtol=1e-6)


@pytest.mark.parametrize("family", [mixing.accumulate(2), mixing.accumulate_subsample(2, 5)])
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_a_generation_beyond_the_memory_is_seen(family, transform):
    def sizes(first):
        trains, _ = mix(family, Dataset(first, jnp.full(2, 0.5)), curated(1, 2), curated(2, 2))
        return [1 / jnp.sum(train.weight**2) for train in trains]

    np.testing.assert_array_equal(np.isnan(transform(sizes)(curated(0, 2).x)), [False, False, True])


def test_accumulate_subsample_draws_from_what_accumulate_trains_on(assert_mean):
    new = [curated(0, 2), Dataset(curated(1, 2).x, jnp.array([1.0, 0.0]))]
    trains, memory = mix(mixing.accumulate_subsample(3, 20_000), *new)
    wholes, whole_memory = mix(mixing.accumulate(3), *new)
    for train, whole in zip(trains, wholes, strict=True):
        np.testing.assert_array_equal(train.weight, np.full(20_000, np.float32(1 / 20_000)))
        point, row = np.unique(whole.x, return_inverse=True)
        mass = np.zeros(len(point))
        np.add.at(mass, row.ravel(), np.asarray(whole.weight))
        assert_mean(np.asarray(train.x) == point, mass)
    jax.tree.map(np.testing.assert_array_equal, memory, whole_memory)


def test_running_moments_are_those_of_all_points_so_far():
    """In float64, 5 real and 3 generations of 4 curated points of unequal weight; rounding alone is allowed."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        real = data.uniform(jnp.asarray(rng.normal(size=(5, 3))))
        new = [
            Dataset(jnp.asarray(i + rng.normal(size=(4, 3))), jnp.array([0.5, 0.25, 0.25, 0.0])) for i in range(1, 4)
        ]
        few, _ = mix(mixing.accumulate_moments(), *new, slot=4, real=real)
        many, _ = mix(mixing.accumulate(3), *new, slot=4, real=real)
    for trains in zip(few, many, strict=True):
        one, other = jax.tree.map(np.asarray, trains)
        assert one.x.shape == (6 + 4, 3)
        for train in one, other:
            np.testing.assert_allclose(train.weight.sum(), 1, rtol=1e-12)
        means = [np.average(train.x, axis=0, weights=train.weight) for train in (one, other)]
        spreads = [np.cov(train.x.T, aweights=train.weight, ddof=0) for train in (one, other)]
        np.testing.assert_allclose(*means, rtol=1e-12)
        np.testing.assert_allclose(*spreads, rtol=1e-12)


@pytest.mark.parametrize(
    "family",
    [mixing.replace(), mixing.with_real(1.0), mixing.accumulate(2), mixing.accumulate_subsample(2, 4)],
    ids=["replace", "with_real", "accumulate", "accumulate_subsample"],
)
def test_tokens_stay_tokens(family):
    real, new = (data.uniform(jnp.full((n, 3, 2), n, jnp.int8)) for n in (4, 2))
    (train,), _ = mix(family, new, real=real)
    assert train.x.dtype == jnp.int8 and train.x.shape[1:] == (3, 2)
    assert set(np.unique(np.asarray(train.x)[np.asarray(train.weight) > 0])) <= {2, 4}
