"""Two thousand generations cost what the first cost: time, memory and bytes a generation do not grow."""

import os
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids, metrics
from curated_retraining.driver import checkpoints, drive

GENERATIONS = int(os.environ.get("GENERATIONS", "2000"))
WARM = GENERATIONS // 10  # generations after which the process has what it needs


def make(lam):
    model, mixing = cr.gaussian(), cr.with_real(lam)
    step = cr.retraining(
        model, reward=lambda x: -jnp.abs(x[:, 0]), curate=cr.k_way(4, cr.luce()), mixing=mixing, pool_size=400,
        metrics=metrics.reward_moments(),
    )  # fmt: skip
    return cr.Loop(lambda key: cr.start(key, model, mixing, cr.uniform(jnp.eye(20, 2)), slot=100), step)


@pytest.mark.long
def test_a_generation_costs_the_same_however_many_there_were(tmp_path, monkeypatch):
    """A slope by least squares over the medians of twentieths, whose scatter is its error: half of what is allowed."""
    seconds, resident, save = [], [], checkpoints.save

    def watched(*args):
        save(*args)
        seconds.append(time.process_time())
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    monkeypatch.setattr(checkpoints, "save", watched)
    begin, advance = grids.programs(make, grids.grid({"lam": [1.0, jnp.inf]}, [0, 1]))
    cells = grids.grid({"lam": ["1", "inf"]}, [0, 1])
    drive(tmp_path, {}, begin, advance, cells=cells, generations=GENERATIONS, keep=2)

    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [GENERATIONS - 1, GENERATIONS]
    size = (tmp_path / "history.bin").stat().st_size
    growth, error, mean = trend(np.diff(seconds)[WARM:])
    memory = np.array(resident[WARM:])
    print(
        f"{GENERATIONS} generations: {1000 * mean:.1f} ms of computing each, which grows by {growth:.1%} ± {error:.1%} "
        f"over the run; {memory.min() / 2**20:.1f} to {memory.max() / 2**20:.1f} MiB; "
        f"{size / (GENERATIONS + 1):.0f} bytes of history a generation"
    )
    assert abs(growth) < 0.1 and error < 0.05
    assert np.ptp(memory) < 0.04 * memory.mean()  # ± 2 %


def trend(values):
    """The growth from the first to the last of `values` as a share of their level, its standard error, the level."""
    parts = np.array([np.median(part) for part in np.array_split(values, 20)])
    at = np.linspace(-0.5, 0.5, 20)
    slope = at @ parts / (at @ at)
    rest = parts - parts.mean() - slope * at
    return slope / parts.mean(), np.sqrt(rest @ rest / 18 / (at @ at)) / parts.mean(), parts.mean()


def test_bytes_a_generation_do_not_grow(tmp_path):
    """A checkpoint holds a state alone, and the history grows by one record."""

    def advance(state):
        return state, {"reward_mean": state["x"]}

    drive(tmp_path, {}, Partial(lambda: {"x": jnp.zeros(1)}), Partial(advance), cells=[{}], generations=23, keep=2)
    sizes = [
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in sorted((tmp_path / "checkpoints").iterdir())
    ]
    assert len(sizes) == 2 and max(sizes) < 20_000
    size = (tmp_path / "history.bin").stat().st_size
    assert size % 24 == 0 and size < 24 * 200
