"""What several devices share of images: the cells, each λ with each seed, or the batches and pools of each model."""

import math
from typing import NamedTuple

import jax
from absl import app, flags
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from curated_retraining import grids
from experiments import common, devices, helps

FLAGS = flags.FLAGS
CELLS, BATCH = KINDS = ("cells", "batch")


class Sharing(NamedTuple):
    """The devices that share cells, or else batches; without either there is one."""

    cells: Mesh | None = None
    batch: Mesh | None = None


def define() -> None:
    """The flags."""
    devices.define()
    with common.group(helps.DEVICES):
        flags.DEFINE_enum(
            "share",
            CELLS,
            KINDS,
            "what devices share: the cells, which come out to the bit as on one device, but generation 0 is trained by "
            "one; or the batches and pools of every model, which come out as on one but for rounding",
        )


def by_flags(pool: int, batch_size: int) -> Sharing:
    """What the flags say, for pools and batches of so many images.

    Raises:
        UsageError: where there are not so many devices, or they cannot share it evenly.
    """
    if FLAGS.share == CELLS:
        return Sharing(cells=devices.mesh(len(FLAGS.lam) * FLAGS.seeds, ", or --share=batch"))
    num, kind = devices.number(), str(jax.random.key_impl(jax.random.key(0)))
    if num > 1 and kind != common.GENERATORS[0]:
        raise app.UsageError(
            f"--prng={kind} with --share=batch draws other numbers on {num} devices than on one: "
            f"take --prng={common.GENERATORS[0]}, or --share=cells"
        )
    if batch_size % num:
        raise app.UsageError(
            f"batches of {batch_size} images do not split over --devices={num} with --share=batch: "
            f"take --devices={math.gcd(batch_size, num)}, or --share=cells"
        )
    for name, size, unit in (("pool", pool, math.lcm(num, FLAGS.k)), ("chunk", min(FLAGS.chunk, pool), num)):
        if size % num:
            raise app.UsageError(
                f"--{name}={size} does not split over --devices={num} with --share=batch: take a multiple of {unit}"
            )
    return Sharing(batch=devices.batch())


def of_cells(sharing: Sharing) -> NamedSharding | None:
    """Where the states of all cells lie, for `drive`."""
    return _whole(sharing.batch) if sharing.cells is None else grids.over(sharing.cells)


def of_generation_zero(sharing: Sharing) -> NamedSharding | None:
    """Where the one state of generation 0 lies: several hosts that share cells each have it whole."""
    return _whole(sharing.cells if jax.process_count() > 1 and sharing.cells else sharing.batch)


def _whole(mesh: Mesh | None) -> NamedSharding | None:
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())
