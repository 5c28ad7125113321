"""Two thousand generations cost what the first cost: time, memory and bytes a generation do not grow."""

import os
import shutil
import time
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids, metrics
from curated_retraining.driver import checkpoints, drive, generations

GENERATIONS = int(os.environ.get("GENERATIONS", "2000"))
EACH, SHORT = GENERATIONS // 40, 50  # a young run of so many generations begins each so many
WARM = 4  # parts after which the process has what it needs


def make(lam):
    model, mixing = cr.gaussian(), cr.with_real(lam)
    step = cr.retraining(
        model, reward=lambda x: -jnp.abs(x[:, 0]), curate=cr.k_way(4, cr.luce()), mixing=mixing, pool_size=400,
        metrics=metrics.reward_moments(),
    )  # fmt: skip
    return cr.Loop(lambda key: cr.start(key, model, mixing, cr.uniform(jnp.eye(20, 2)), slot=100), step)


@pytest.mark.long
def test_a_generation_costs_the_same_however_many_there_were(tmp_path, monkeypatch):
    """Young runs begin again and again beside the old one, whose costs are shares of theirs: machines have moods."""
    begin, advance = grids.programs(make, grids.grid({"lam": [1.0, jnp.inf]}, [0, 1]))
    play = partial(drive, settings={}, begin=begin, advance=advance, cells=grids.grid({"lam": ["1", "inf"]}, [0, 1]))
    old, young, resident, save = [[]], [], [], checkpoints.save
    programs, compiled = {}, generations.compiled

    def once(function, *args, **options):
        """What a young run compiles stays in memory, and would be taken for growth."""
        name = function.func.__name__
        if name not in programs:
            programs[name] = compiled(function, *args, **options)
        return programs[name]

    def watched(manager, generation, *rest):
        save(manager, generation, *rest)
        is_old = manager.directory.parent == tmp_path / "old"
        (old if is_old else young)[-1].append(time.process_time())
        if is_old:
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            if generation % EACH == 0:
                young.append([])
                play(tmp_path / "young", generations=SHORT, keep=2)
                shutil.rmtree(tmp_path / "young")
                old.append([])

    monkeypatch.setattr(checkpoints, "save", watched)
    monkeypatch.setattr(generations, "compiled", once)
    play(tmp_path / "old", generations=GENERATIONS, keep=2)

    assert sorted(int(path.name) for path in (tmp_path / "old/checkpoints").iterdir()) == [GENERATIONS - 1, GENERATIONS]
    size = (tmp_path / "old/history.bin").stat().st_size
    beside = cost(young)
    costs = 2 * cost(old[1:-1])[WARM:] / (beside[1:] + beside[:-1])[WARM:]
    growth, error = trend(costs)
    memory = np.array(resident[WARM * EACH :])
    print(
        f"{GENERATIONS} generations: {1000 * cost(old[-2:-1])[0]:.1f} ms of computing each in the end, "
        f"{costs.mean():.2f} of those of a young run, which grows by {growth:.1%} ± {error:.1%} over the run; "
        f"{memory.min() / 2**20:.1f} to {memory.max() / 2**20:.1f} MiB; {size / (GENERATIONS + 1):.0f} bytes of "
        "history a generation"
    )
    assert abs(growth) < 0.1 and error < 0.05
    assert np.ptp(memory) < 0.04 * memory.mean()  # ± 2 %


def cost(parts):
    """The median seconds of a generation of each part, but its first ones."""
    return np.array([np.median(np.diff(part)[SHORT // 5 :]) for part in parts])


def trend(values):
    """The growth from the first to the last of `values` as a share of their level, and its standard error."""
    at = np.linspace(-0.5, 0.5, len(values))
    slope = at @ values / (at @ at)
    rest = values - values.mean() - slope * at
    return slope / values.mean(), np.sqrt(rest @ rest / (len(values) - 2) / (at @ at)) / values.mean()


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
