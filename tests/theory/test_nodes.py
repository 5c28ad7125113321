"""Large supports: the operator by nodes of the reward against the operator point by point, and its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory
from curated_retraining.theory import operator

POINTS = operator.DENSE + 104
ACCURACY = {"float64": 1e-9, "float32": 1e-4}
SMALLEST = {"float64": 1e-300, "float32": 1e-30}  # where a type runs out of digits


def ratios(p, r, k, dtype):
    """H of each row for each `k`, `[rows, k, points]`, in one dtype."""
    with jax.enable_x64(dtype == "float64"):
        of = jax.vmap(lambda p, r, k: theory.k_way_ratio(p, r, k), in_axes=(None, None, 0))
        given = [jnp.asarray(value, dtype) for value in (p, r, k)]
        return np.asarray(jax.jit(lambda p, r, k: jax.lax.map(lambda row: of(*row, k), (p, r)))(*given), float)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nodes_agree_with_points(dtype, monkeypatch):
    """Ranges 1e-3 to 100, K 1 to 1000 and not whole, a rare top, a rare middle, and nearly all at the bottom."""
    rng = np.random.default_rng(0)
    unit = rng.uniform(-1, 0, (4, POINTS))
    unit[:, 0], unit[:, 1] = 0, -1
    r = (np.array([1e-3, 1.0, 10.0, 100.0])[:, None] * unit).astype(dtype).astype(float)
    p = rng.exponential(size=(4, POINTS))
    p[1] *= np.where(unit[1] > -0.1, 1e-9, 1.0)
    p[2] *= np.where((unit[2] > -0.9) & (unit[2] < -0.01), 1e-9, 1.0)
    p[3] *= np.where(unit[3] > -0.99, 1e-12, 1.0)
    p, k = p / p.sum(axis=1, keepdims=True), [1.0, 1.3, 2.0, 7.0, 1000.0, np.inf]
    by_nodes = ratios(p, r, k, dtype)
    monkeypatch.setattr(operator, "DENSE", POINTS)
    by_points = ratios(p, r, k, "float64")
    np.testing.assert_allclose(by_nodes, by_points, ACCURACY[dtype], SMALLEST[dtype])
    assert (by_nodes != by_points).any()


def test_a_million_points_need_a_few_numbers_each():
    """XLA's count for ten generations of a million points: what is kept beside arguments and results."""
    points = jax.ShapeDtypeStruct((1_000_000,), jnp.float32)
    program = jax.jit(lambda p, r: theory.trajectory(p, r, k=4, lam=1.0, num=10)).lower(points, points).compile()
    assert program.memory_analysis().temp_size_in_bytes < 18 * points.size * 4


def test_a_limit_of_many_points_agrees_with_its_levels():
    """Copies of 50 rewards, 100 each, have the limit of the 50 (float32: the 32 + √5000 = 103 roundings it is to)."""
    rng = np.random.default_rng(1)
    r, p = jnp.asarray(rng.uniform(-5, 0, 50), jnp.float32), jnp.asarray(rng.dirichlet(np.ones(50)), jnp.float32)
    limit = jax.jit(lambda p, r: theory.mixed_limit(p, r, k=4, lam=1.0))
    few, many = limit(p, r), limit(jnp.repeat(p, 100) / 100, jnp.repeat(r, 100))
    np.testing.assert_allclose(many.reshape(50, 100).sum(axis=1), few, rtol=2e-4)


def test_sums_of_a_million_keep_their_digits():
    """Of 1e-6 each in float32, to the rounding of √s-fold sums: 1,000 of them are off by at most 1000 ε / 2 = 6e-5."""
    index = jnp.arange(1_000_000) % 3
    found = jax.jit(lambda index: theory.sums(index, jnp.full(1_000_000, 1e-6, jnp.float32), 3))(index)
    np.testing.assert_allclose(found, np.bincount(np.arange(1_000_000) % 3) * np.float64(np.float32(1e-6)), rtol=6e-5)
    plain = jnp.zeros(3).at[index].add(1e-6)
    assert np.abs(np.asarray(plain) * 3 - 1).max() > 1e-3
