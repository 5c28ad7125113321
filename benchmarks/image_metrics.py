"""Precision, recall, density and coverage, timed against the package `prdc`: prints a markdown table.

python -m benchmarks.image_metrics

Both sides count on the same float32 features, on all cores, in one process and by turns. `prdc` finds the radii of real
points at each call. Here `neighbours` finds them once a run, so the table has both: a generation's `prdc` alone, and
with the radii. Needs the extra `[bench]`.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from prdc import compute_prdc

from curated_retraining import metrics
from curated_retraining.metrics.chunks import CHUNK
from curated_retraining.types import Generation

POINTS, K = 5_000, 5


def main() -> None:
    """Prints a row a case: seconds of each side, ratios (medians of those of each turn), compile time and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="turns; medians are shown")
    parser.add_argument("--chunk", type=int, default=CHUNK, help="points at a time")
    flags = parser.parse_args()

    print(f"jax {jax.__version__}, {os.cpu_count()} cores, {POINTS:,} × {POINTS:,}, k = {K}, chunk = {flags.chunk}")
    print(f"medians of {flags.repeats}; ratios: how many times faster than prdc\n")
    print(
        "| features | prdc, s | a generation, s | ratio | with radii, s | ratio | compile, s | temporary, MB | same |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rng = np.random.default_rng(0)
    for dimension in (64, 128):
        normal = rng.normal(size=(2 * POINTS, dimension))
        print(row(f"{dimension} normal", normal[:POINTS], 0.9 * normal[POINTS:], flags))
    integers = rng.integers(0, 5, (2 * POINTS, 8))
    print(row("8 integers 0..4: ties, duplicates", integers[:POINTS], integers[POINTS:], flags))
    print(row("64 normal, half of the pool real", normal[:POINTS, :64], normal[POINTS // 2 :][:POINTS, :64], flags))


def row(name: str, real: np.ndarray, pool: np.ndarray, flags: argparse.Namespace) -> str:
    """Compiles, takes turns and describes one case."""
    real, pool = real.astype(np.float32), pool.astype(np.float32)
    neighbours, compile_neighbours = seconds(jax.jit(radii, static_argnums=1).lower(real, flags.chunk).compile)
    reference = neighbours(real)
    count, compile_count = seconds(jax.jit(counts, static_argnums=2).lower(pool, reference, flags.chunk).compile)

    times, same = [], True
    for _ in range(flags.repeats):
        expected, theirs = seconds(lambda: quietly(lambda: compute_prdc(real, pool, K)))
        reference, before = seconds(lambda: jax.block_until_ready(neighbours(real)))
        got, ours = seconds(lambda reference=reference: jax.block_until_ready(count(pool, reference)))
        same &= all(got[name] == np.float32(value) for name, value in expected.items())
        times.append((theirs, ours, theirs / ours, before + ours, theirs / (before + ours)))
    theirs, ours, ratio, both, ratio_of_both = np.median(times, axis=0)
    memory = count.memory_analysis()
    room = f"{memory.temp_size_in_bytes / 1e6:.0f}" if memory else "not told"
    compiled = compile_neighbours + compile_count
    return (
        f"| {name} | {theirs:.2f} | {ours:.2f} | {ratio:.1f} | {both:.2f} | {ratio_of_both:.1f} | {compiled:.1f} "
        f"| {room} | {'yes' if same else 'NO'} |"
    )


def radii(real: Any, chunk: int) -> metrics.Neighbours:
    """What is found once a run."""
    return metrics.neighbours(features, jnp.asarray(real), K, chunk)


def counts(pool: Any, reference: metrics.Neighbours, chunk: int) -> dict[str, jax.Array]:
    """What is found once a generation, whose pool alone is looked at."""
    nothing: Any = None
    return metrics.prdc(features, reference, chunk)(Generation(nothing, pool, nothing, nothing, nothing))


def features(x: Any) -> Any:
    """The points themselves: extraction is not timed."""
    return x


def seconds(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns and how long it took."""
    begin = time.perf_counter()
    return call(), time.perf_counter() - begin


def quietly(call: Callable[[], Any]) -> Any:
    """What a call returns, without what it prints."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return call()


if __name__ == "__main__":
    main()
