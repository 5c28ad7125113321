"""How long exact courses take: a million points, and a grid of (K, λ) cells."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.table import Row, seconds, turns
from curated_retraining import theory


def rows(repeats: int) -> list[Row]:
    """A row a case and a precision."""
    found = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            kind = "float64" if x64 else "float32"
            found += [
                row(f"exact course: 10⁶ points, K = 4, λ = 1, 50 generations, {kind}", *million(), repeats),
                row(f"exact courses: 256 (K, λ) cells, 256 points, 100 generations, {kind}", *cells(), repeats),
            ]
    return found


def million() -> tuple[Callable, tuple]:
    """Rewards of a million samples; the course is kept whole."""
    rng = np.random.default_rng(0)
    reward = jnp.asarray(2 * rng.normal(size=1_000_000), float)
    p = jnp.full(reward.shape, 1e-6, float)
    return lambda p, r: theory.trajectory(p, r, k=4, lam=1.0, num=50), (p, reward)


def cells() -> tuple[Callable, tuple]:
    """16 × 16 cells in one vmapped call; rewards range over 100."""
    rng = np.random.default_rng(0)
    reward, p = jnp.asarray(rng.uniform(-99, 0, 256), float), jnp.asarray(rng.dirichlet(np.ones(256)), float)
    k, lam = (jnp.asarray(v.ravel(), float) for v in np.meshgrid(np.geomspace(2, 64, 16), np.geomspace(0.02, 20, 16)))

    def course(p, r, k, lam):
        return theory.trajectory(p, r, k=k, lam=lam, num=100)

    return jax.vmap(course, in_axes=(None, None, 0, 0)), (p, reward, k, lam)


def row(name: str, function: Callable, arguments: tuple, repeats: int) -> Row:
    """Compiles, runs and describes one case."""
    program, compiled = seconds(jax.jit(function).lower(*arguments).compile)
    _, (took,) = turns([lambda seed: program(*arguments)], repeats)
    memory = program.memory_analysis()
    note = f"works in {memory.temp_size_in_bytes / 1e6:.0f} MB" if memory else ""
    return Row(name, took, compiled, note=note)
