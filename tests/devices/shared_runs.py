"""What the tests of devices run in processes of their own: `python shared_runs.py NAME FOLDER [...]`."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.tree_util import Partial

import curated_retraining as cr
from benchmarks import communication
from curated_retraining import grids
from curated_retraining.driver import drive
from curated_retraining.networks.mlp import TimeMLP

GENERATIONS, CUT = 3, 1
CELLS = grids.grid({"lam": [1.0, float("inf")]}, range(4))


def mesh(shape: tuple[int, ...]) -> Mesh:
    """Devices by rows and, where there are two sides, by parameters."""
    num = int(np.prod(shape))
    names, kinds = ("batch", "model")[: len(shape)], (AxisType.Auto,) * len(shape)
    return jax.make_mesh(shape, names, axis_types=kinds, devices=jax.devices()[:num])


def seeds(folder: Path, over: Mesh | None, generations: int = GENERATIONS) -> dict:
    """Eight loops of a Gaussian, shared by the devices."""
    begin, advance = grids.programs(partial(_loop, cr.gaussian()), CELLS, mesh=over)
    sharding = over and grids.over(over)
    return drive(folder, {}, begin, advance, cells=CELLS, generations=generations, sharding=sharding)


def batches(folder: Path, over: Mesh | None, split: str | None = None, generations: int = GENERATIONS) -> dict:
    """One loop of flow matching, whose batches and pools the devices share; `split` is the axis of its parameters."""
    model = cr.flow_matching(TimeMLP(16, 1), steps=4, batch_size=16, sample_steps=2)
    model = model if over is None else cr.sharded(model, over, split)
    begin, advance = grids.programs(partial(_loop, model), CELLS[:1])
    sharding = over and cr.placement(jax.eval_shape(begin), over, split)
    return drive(folder, {}, begin, advance, cells=CELLS[:1], generations=generations, sharding=sharding)


def _loop(model, lam):
    mixing = cr.with_real(lam)
    step = cr.retraining(
        model,
        reward=lambda x: x[:, 0],
        curate=cr.k_way(2, cr.luce()),
        mixing=mixing,
        pool_size=32,
        metrics=cr.metrics.reward_moments(),
    )

    def start(key):
        data_key, start_key = jax.random.split(key)
        return cr.start(start_key, model, mixing, cr.ring(data_key, 24), slot=16)

    return cr.Loop(start, step)


def on_eight(out: Path) -> None:
    """Seeds on eight devices and batches on four of them, and what eight tell one another."""
    seeds(out / "seeds/8", mesh((8,)))
    batches(out / "batches/4", mesh((4,)))
    counted = {of.__name__: communication.sent(of()) for of in (communication.of_seeds, communication.of_batches)}
    (out / "counted.json").write_text(json.dumps(counted))


def on_two_by_four(out: Path) -> None:
    """Parameters that are split on eight devices, and runs that go on on 2 × 4."""
    batches(out / "batches/8", mesh((8,)))
    batches(out / "split/8", mesh((8,)), "batch")
    seeds(cut(out / "seeds/8", "2x4"), mesh((2, 4)))
    batches(cut(out / "batches/8", "2x4"), mesh((2, 4)))
    batches(cut(out / "split/8", "2x4"), mesh((2, 4)), "model")
    (out / "split.json").write_text(json.dumps(communication.sent(communication.of_batches(split=True))))


def cut(whole: Path, name: str) -> Path:
    """A copy of a run as it was after generation `CUT`."""
    copy = shutil.copytree(whole, whole.parent / name)
    for generation in range(CUT + 1, GENERATIONS + 1):
        shutil.rmtree(copy / f"checkpoints/{generation}")
    return copy


def in_two(out: Path, rank: str, port: str, name: str) -> None:
    """Goes on, as one of two processes of four devices, from what eight devices of one process began."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(rank))
    assert jax.device_count() == 8 and jax.local_device_count() == 4
    play = {"seeds": seeds, "batches": batches}[name]
    np.savez(out / f"{name}-{rank}.npz", **play(out / name / "two", mesh((8,))))
    try:
        drive(out / name / "two", {"gamma": 1}, *PROGRAMS, cells=[{}], generations=1, sharding=grids.over(mesh((8,))))
    except cr.driver.RunError as error:
        (out / f"refused-{rank}").write_text(str(error))


PROGRAMS = Partial(dict), Partial(lambda state: (state, {}))

if __name__ == "__main__":
    {"on_eight": on_eight, "on_two_by_four": on_two_by_four, "in_two": in_two}[sys.argv[1]](
        Path(sys.argv[2]), *sys.argv[3:]
    )
