"""Sweeps against loops played one at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import curated_retraining as cr
from curated_retraining import grids, metrics
from curated_retraining.driver import drive

TRACES = []


def make(lam, temperature):
    TRACES.append(1)
    model, mixing = cr.gaussian(), cr.with_real(lam)
    step = cr.retraining(
        model,
        reward=lambda x: x[:, 0],
        curate=cr.k_way(2, cr.luce(temperature)),
        mixing=mixing,
        pool_size=16,
        metrics=metrics.reward_moments(),
    )

    def start(key):
        data_key, start_key = jax.random.split(key)
        return cr.start(start_key, model, mixing, cr.ring(data_key, 8), slot=8)

    return grids.Loop(start, step)


def test_a_grid_runs_through_all_combinations_and_the_seed_changes_fastest():
    cells = grids.grid({"lam": [1.0, jnp.inf], "temperature": [0.5]}, range(2))
    assert [tuple(cell.values()) for cell in cells] == [(1, 0.5, 0), (1, 0.5, 1), (jnp.inf, 0.5, 0), (jnp.inf, 0.5, 1)]
    assert list(cells[0]) == ["lam", "temperature", "seed"]


def test_a_sweep_is_the_loops_played_one_at_a_time_in_one_program(tmp_path):
    cells = grids.grid({"lam": [1.0, jnp.inf], "temperature": [0.0, 1.0]}, [3, 5])
    begin, advance = grids.programs(make, cells)
    del TRACES[:]
    history = drive(tmp_path, {}, begin, advance, cells=cells, generations=2)
    assert len(TRACES) == 2 + 1  # `begin` for its shapes and as a program, and `advance`
    assert history["reward_mean"].shape == (3, 8)

    @jax.jit
    def alone(lam, temperature, seed):
        start_key, loop_key = jax.random.split(jax.random.key(seed))
        loop = make(lam, temperature)
        return cr.run(loop_key, loop.start(start_key), loop.step, 3)[1]

    for index, cell in enumerate(cells):
        one = alone(cell["lam"], cell["temperature"], cell["seed"])
        for name, values in one.items():
            np.testing.assert_allclose(history[name][:, index], values, rtol=1e-5, err_msg=f"{name} of {cell}")


@pytest.mark.parametrize("name", ["lam", "temperature"])
def test_other_numbers_of_the_same_shapes_cause_no_retrace(name):
    values = {"lam": [1.0], "temperature": [0.5]}
    one, other = (grids.programs(make, grids.grid(axes, [0])) for axes in (values, values | {name: [2.0]}))
    begun = jax.jit(lambda begin: begin())(one[0])
    advanced = jax.jit(lambda advance, state: advance(state))
    advanced(one[1], begun)
    del TRACES[:]
    advanced(other[1], begun)
    assert not TRACES
