import contextlib
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from prdc import compute_prdc

import curated_retraining as cr
from curated_retraining import metrics
from curated_retraining.types import Dataset, Generation, Model

N, M, D, K = 24, 30, 5, 3  # one shape for most tests: one program
NAMES = ("precision", "recall", "density", "coverage")


def flat(x):
    return x.reshape(x.shape[0], -1)


def of_pool(metric, pool):
    return metric(Generation(None, pool, None, None, None))


@jax.jit
def everything(real, pool):
    reference = metrics.neighbours(flat, real, K, chunk=7)
    return of_pool(metrics.join(metrics.prdc(flat, reference, 7), metrics.memorisation(flat, reference, 7)), pool)


def ours(real, pool):
    return {name: np.asarray(value) for name, value in everything(jnp.asarray(real), jnp.asarray(pool)).items()}


def package(real, pool):
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return compute_prdc(real, pool, K)


def instance(kind):
    """Real points `[M, D]` and a pool `[N, D]` with ties, duplicates or none."""
    rng = np.random.default_rng(len(kind))
    real, pool = rng.normal(size=(M, D)), rng.normal(size=(N, D))
    if kind == "normal, far from the origin":
        return real + 1000, pool + 1000
    if kind == "small integers":
        return rng.integers(0, 3, (M, D)), rng.integers(0, 3, (N, D))
    if kind == "integers whose squares exceed float32":
        return rng.integers(0, 2, (M, D)) * 3001 + rng.integers(0, 2, (M, D)), rng.integers(0, 2, (N, D)) * 3001
    if kind == "duplicates within":
        return real[rng.integers(0, M // 2, M)], pool[rng.integers(0, N // 2, N)]
    if kind == "real points among the pool":
        return real, np.concatenate([real[:12], pool[:12]])
    if kind == "collapsed":
        return real, np.repeat(pool[:1], N, axis=0)
    if kind == "radius 0":
        return np.repeat(np.round(3 * real[:6]), 5, axis=0), np.repeat(np.round(3 * real[:4]), 6, axis=0)
    return real, pool


KINDS = (
    "normal",
    "normal, far from the origin",
    "small integers",
    "integers whose squares exceed float32",
    "duplicates within",
    "real points among the pool",
    "collapsed",
    "radius 0",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("x64", [False, True])
def test_counts_are_those_of_the_package(kind, x64):
    dtype = np.float64 if x64 else np.float32
    real, pool = (points.astype(dtype) for points in instance(kind))
    with jax.enable_x64(x64):
        got = ours(real, pool)
    assert {name: value.dtype for name, value in got.items()} == dict.fromkeys(got, dtype)
    assert {name: got[name] for name in NAMES} == {name: dtype(value) for name, value in package(real, pool).items()}


def test_identical_sets_are_precise_complete_and_copied():
    real = instance("normal")[0].astype(np.float32)[:N]
    got = ours(np.concatenate([real, real[: M - N] + 100]), real)
    assert got["precision"] == 1 and got["recall"] == N / M and got["coverage"] == N / M
    assert got["nearest_real"] == got["nearest_real_ratio"] == got["authenticity"] == 0


def test_copies_of_wide_features_are_at_distance_zero():
    different = jnp.asarray(np.random.default_rng(0).normal(size=(8, 300)), jnp.float32)
    distance = metrics.neighbours(flat, jnp.repeat(different, K + 1, axis=0), K).distance
    np.testing.assert_array_equal(distance, 0)  # though float64 products of equal rows differ by rounding


def test_disjoint_sets_share_nothing():
    real, pool = (points.astype(np.float32) for points in instance("normal"))
    got = ours(real, pool + 100)
    assert [got[name] for name in NAMES] == [0, 0, 0, 0]
    assert got["authenticity"] == 1 and got["nearest_real_ratio"] > 10


def test_memorisation_is_what_all_distances_say():
    real, pool = (points.astype(np.float32) for points in instance("real points among the pool"))
    own = np.linalg.norm(real[:, None].astype(float) - real[None], axis=2) + np.diag(np.full(M, np.inf))
    between = np.linalg.norm(pool[:, None].astype(float) - real[None], axis=2)
    got = ours(real, pool)
    np.testing.assert_allclose(got["nearest_real"], np.median(between.min(axis=1)), rtol=1e-6)
    expected = np.median(between.min(axis=1)) / np.median(own.min(axis=1))
    np.testing.assert_allclose(got["nearest_real_ratio"], expected, rtol=1e-6)
    authentic = between.min(axis=1) > own.min(axis=1)[between.argmin(axis=1)]
    np.testing.assert_allclose(got["authenticity"], authentic.mean(), rtol=1e-6)


@pytest.mark.parametrize("where", ["real", "pool"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_seen(where, value):
    sets = dict(zip(("real", "pool"), (points.astype(np.float32) for points in instance("normal")), strict=True))
    sets[where][4, 2] = value
    assert all(np.isnan(number) for number in ours(**sets).values())


def test_distances_of_real_points_are_ascending_to_their_nearest_others():
    real = jnp.asarray(instance("small integers")[0], jnp.float32)
    distance = np.linalg.norm(np.asarray(real)[:, None] - np.asarray(real)[None], axis=2)
    expected = np.sort(distance, axis=1)[:, 1 : K + 1]
    np.testing.assert_allclose(metrics.neighbours(flat, real, K, 7).distance, expected, rtol=1e-6)


def normal_model():
    """A normal distribution of a mean and one sd."""
    return Model(
        init=lambda key, x: (x.mean(axis=0), x.std()),
        fit=lambda key, state, data: (data.weight @ data.x, state[1]),
        sample=lambda key, state, num: state[0][None] + state[1] * jax.random.normal(key, (num, D)),
        log_prob=None,
    )


def test_a_float32_loop_may_be_scanned_and_vmapped_and_is_traced_once():
    traces = []

    def features(x):
        traces.append(x)
        return 2 * x

    real = jnp.asarray(instance("normal")[0], jnp.float32)
    reference, moments = metrics.neighbours(features, real, K), metrics.moments(features, real)
    measured = (metrics.prdc(features, reference), metrics.memorisation(features, reference, 7))
    measured = metrics.join(*measured, metrics.frechet(features, moments))
    metric = metrics.join(measured, metrics.snapshot(N))

    @jax.jit
    def sweep(keys, lam, metric):
        def course(key, lam):
            mixing, data = cr.with_real(lam), Dataset(real, jnp.full(M, 1 / M))
            parts = {"reward": lambda x: x[:, 0], "curate": cr.k_way(2, cr.luce()), "mixing": mixing}
            step = cr.retraining(normal_model(), **parts, pool_size=N, metrics=metric)
            start_key, run_key = jax.random.split(key)
            return cr.run(run_key, cr.start(start_key, normal_model(), mixing, data, slot=N // 2), step, 2)[1]

        return jax.vmap(jax.vmap(course, in_axes=(None, 0)), in_axes=(0, None))(keys, lam)

    history = sweep(jax.random.split(jax.random.key(0), 2), jnp.array([0.5, 2.0, 8.0]), metric)
    assert {value.dtype.name for value in history.values()} == {"float32"}
    alone = jax.jit(lambda metric, pool: of_pool(metric, pool))
    for at in np.ndindex(2, 3, 2):
        expected = alone(measured, history["pool"][at])
        for name in expected:
            exact = name in NAMES
            np.testing.assert_allclose(history[name][at], expected[name], rtol=0 if exact else 1e-5, err_msg=name)

    seen = len(traces)
    sweep(jax.random.split(jax.random.key(1), 2), jnp.array([0.1, 1.0, 3.0]), metric)
    assert len(traces) == seen


@pytest.mark.parametrize(
    ("k", "chunk", "message"),
    [
        (0, 7, "k=0 is no number"),
        (M, 7, f"k={M} nearest neighbours need more than {M}"),
        (3, 0, "chunk=0 is no number"),
    ],
)
def test_bad_settings_are_refused(k, chunk, message):
    with pytest.raises(ValueError, match=message):
        metrics.neighbours(flat, jnp.zeros((M, D)), k, chunk)


@pytest.mark.parametrize(
    "build", [metrics.prdc, metrics.precision_recall, metrics.density_coverage, metrics.memorisation]
)
def test_other_features_than_those_of_the_reference_are_refused(build):
    reference = metrics.neighbours(flat, jnp.zeros((M, D)), K)
    with pytest.raises(ValueError, match=f"the pool has {D + 1} features and reference {D}"):
        of_pool(build(flat, reference), jnp.zeros((N, D + 1)))
    with pytest.raises(ValueError, match="chunk=-1 is no number"):
        build(flat, reference, chunk=-1)


def test_features_that_are_no_vectors_are_refused():
    with pytest.raises(ValueError, match=r"features of shape \(30, 5, 1\)"):
        metrics.neighbours(lambda x: x[..., None], jnp.zeros((M, D)), K)


def test_pool_of_k_points_is_refused():
    reference = metrics.neighbours(flat, jnp.zeros((M, D)), K)
    with pytest.raises(ValueError, match=f"k={K} nearest neighbours need more than {K} points"):
        of_pool(metrics.prdc(flat, reference), jnp.zeros((K, D)))
