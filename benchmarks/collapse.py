"""Collapse of a Gaussian without curation against the loop one would write in NumPy: replace and accumulate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from benchmarks.table import Row, turns
from curated_retraining.types import Mixing

POINTS, GENERATIONS = 1_000, 500


def rows(repeats: int) -> list[Row]:
    """A row a mixing: one chain of all generations."""
    cases = [
        ("replace", cr.replace, lambda data, new: new, None),
        ("accumulate", cr.accumulate_moments, lambda data, new: np.concatenate([data, new]), 20),
    ]
    return [row(*case, repeats=repeats) for case in cases]


def row(name: str, mixing: Callable[[], Mixing], mix: Callable, wanted: float | None, *, repeats: int) -> Row:
    """Both sides play `GENERATIONS`; the quality is the mean log-variance in the end over seeds, and its error."""
    program = jax.jit(lambda key: ours(key, mixing()))
    ends: list[list[float]] = [[], []]

    def mine(seed):
        end = program(jax.random.key(seed))
        ends[0].append(float(jnp.log(jnp.linalg.det(end @ end.T))))

    def theirs(seed):
        ends[1].append(float(np.log(np.linalg.det(numpy_chain(seed, mix)))))

    begun, (own, other) = turns([mine, theirs], repeats)
    more = [
        float(jnp.log(jnp.linalg.det(end @ end.T))) for end in map(program, jax.random.split(jax.random.key(9), 32))
    ]
    quality = f"log-determinant in the end {np.mean(more):.2f} ± {np.std(more):.2f}, NumPy {np.mean(ends[1]):.2f}"
    work = f"Gaussian, {name}: {GENERATIONS} generations of {POINTS:,} points of the plane"
    return Row(work, own, begun[0] - own, f"NumPy {np.__version__}", other, wanted, quality)


def ours(key: jax.Array, mixing: Mixing) -> jax.Array:
    """The Cholesky factor in the end."""
    data_key, start_key, loop_key = jax.random.split(key, 3)
    model = cr.gaussian()
    step = cr.retraining(
        model,
        reward=lambda x: jnp.zeros(x.shape[0]),
        curate=cr.everything(),
        mixing=mixing,
        pool_size=POINTS,
        metrics=lambda record: {},
    )
    real = cr.uniform(jax.random.normal(data_key, (POINTS, 2)))
    state, _ = cr.run(loop_key, cr.start(start_key, model, mixing, real, slot=POINTS), step, num=GENERATIONS)
    return state.model.chol[0]


def numpy_chain(seed: int, mix: Callable) -> np.ndarray:
    """The covariance in the end."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(POINTS, 2))
    for _ in range(GENERATIONS):
        new = rng.multivariate_normal(data.mean(0), np.cov(data.T, ddof=0), POINTS)
        data = mix(data, new)
    return np.cov(data.T, ddof=0)
