"""How long exact courses take: a million points, and a grid of (K, λ) cells.

python -m benchmarks.theory
"""

import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining import theory

REPEATS = 5


def main() -> None:
    """Prints a row a case: time after compilation (the median of five), compile time and memory."""
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, medians of {REPEATS}\n")
    print("| case | s | compile, s | beside arguments and results, MB |\n| --- | --- | --- | --- |")
    for x64 in (False, True):
        with jax.enable_x64(x64):
            kind = "float64" if x64 else "float32"
            print(row(f"10⁶ points, K = 4, λ = 1, 50 generations, {kind}", *million()))
            print(row(f"256 (K, λ) cells, 256 points, 100 generations, {kind}", *cells()))


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


def row(name: str, function: Callable, arguments: tuple) -> str:
    """Compiles, runs and describes one case."""
    began = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    compiled, times = time.perf_counter() - began, []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        times.append(time.perf_counter() - began)
    memory = program.memory_analysis()
    room = f"{memory.temp_size_in_bytes / 1e6:.0f}" if memory else "not told"
    return f"| {name} | {np.median(times):.2f} | {compiled:.1f} | {room} |"


if __name__ == "__main__":
    main()
