"""What many seeds cost: one generation of 1, 8, 64 and 512 loops in one program, against as many times one."""

from functools import partial

import jax

import curated_retraining as cr
from benchmarks.table import Row, turns
from curated_retraining import grids
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.sweep import fastest
from curated_retraining.types import lift

SEEDS = (1, 8, 64, 512)
POOL, REAL, K = 1_000, 1_000, 4


def rows(repeats: int) -> list[Row]:
    """A row a model and a number of seeds, with as many side by side as `cr.sweep` finds fastest."""
    models = {
        "gmm": cr.gmm(components=8, steps=10),
        "flow_matching, 3 × 64": cr.flow_matching(TimeMLP(64, 2), steps=20, batch_size=256, sample_steps=10),
    }
    return [row for name, model in models.items() for row in of(name, model, repeats)]


def of(name: str, model: cr.Model, repeats: int) -> list[Row]:
    """The rows of a model."""

    def make():
        mixing = cr.with_real(1.0)
        step = cr.retraining(
            model,
            reward=cr.distance(jax.numpy.array([2.0, 0.0])),
            curate=cr.k_way(K, cr.luce()),
            mixing=mixing,
            pool_size=POOL,
            metrics=cr.metrics.reward_moments(),
        )

        def start(key):
            data_key, fit_key = jax.random.split(key)
            return cr.start(fit_key, model, mixing, cr.ring(data_key, REAL), slot=POOL // K)

        return cr.Loop(start, step)

    found, alone = [], None
    for num in SEEDS:
        cells = grids.grid({}, range(num))
        batch = fastest(lift(make), cells)
        begin, advance = grids.programs(make, cells, batch)
        state = jax.jit(lambda begin: begin())(begin)
        program = jax.jit(lambda advance, state: advance(state))
        begun, (took,) = turns([partial(play, program, advance, state)], 5 if num == 1 else 1 if num > 64 else repeats)
        alone = alone or took
        work = f"a generation of {num} loops of {name}"
        note = f"{1e3 * took / num:.2f} ms a loop; {batch} side by side"
        found.append(Row(work, took, begun[0] - took, f"{num} × one loop", num * alone, 1, note=note))
    return found


def play(program, advance, state, seed: int):
    """A generation of all loops; the seed is theirs."""
    del seed
    return program(advance, state)
