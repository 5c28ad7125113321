"""The devices and hosts that share an experiment: its cells, each setting with each seed, or one model's batches."""

import jax
from absl import app, flags
from jax.sharding import AxisType, Mesh

from curated_retraining.data import BATCH
from experiments import helps
from experiments.helps import group

FLAGS = ("devices", "multihost", "coordinator", "processes", "process", "share")  # who works is no part of a run


def define() -> None:
    """The flags of the devices that share the cells; no bit of a result depends on them."""
    with group(helps.DEVICES):
        flags.DEFINE_integer(
            "devices",
            None,
            "devices that share the cells, each setting with each seed (by default one; all with --multihost)",
            1,
        )
        flags.DEFINE_bool(
            "multihost", False, "whether this command runs on several hosts at once, on all their devices"
        )
        flags.DEFINE_string("coordinator", None, "host:port of process 0, on hosts that JAX does not know of by itself")
        flags.DEFINE_integer("processes", None, "their number, with --coordinator", 1)
        flags.DEFINE_integer("process", None, "which of them this is, from 0, with --coordinator", 0)


def number() -> int:
    """How many devices the flags tell to share.

    Raises:
        UsageError: where there are not so many.
    """
    there = jax.device_count()
    num = flags.FLAGS.devices or (there if flags.FLAGS.multihost else 1)
    if num > there:
        raise app.UsageError(f"--devices={num} are more than there are: take {there} at most")
    if flags.FLAGS.multihost and num < there:
        raise app.UsageError(f"--devices={num} with --multihost, which takes all {there}: leave one of them out")
    return num


def mesh(cells: int, otherwise: str = "") -> Mesh | None:
    """The devices that the flags tell to share so many cells; None for one alone.

    Raises:
        UsageError: where there are not so many, or the cells do not split over them; `otherwise` adds to the remedy.
    """
    if cells % (num := number()):
        raise app.UsageError(
            f"{cells} cells, settings × --seeds, do not split over --devices={num}: "
            f"take --seeds={num} or a multiple of it{otherwise}"
        )
    return _of("cells")


def batch() -> Mesh | None:
    """The devices that the flags tell to share the batches of one model; None for one alone.

    Raises:
        UsageError: where there are not so many.
    """
    return _of(BATCH)


def join() -> None:
    """Meets the processes on other hosts."""
    given = {name: flags.FLAGS[name].value for name in FLAGS if name in flags.FLAGS}
    known = [given.get(name) for name in ("coordinator", "processes", "process")]
    if known != [None] * 3 and (None in known or not given["multihost"]):
        raise app.UsageError("--coordinator, --processes and --process go together, with --multihost")
    if given.get("multihost"):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        try:
            jax.distributed.initialize(given["coordinator"], given["processes"], given["process"])
        except ValueError as error:
            raise app.UsageError(
                f"--multihost: JAX does not find the other processes ({error}): "
                "give --coordinator=HOST:PORT, --processes and --process"
            ) from error


def _of(axis: str) -> Mesh | None:
    num, kinds = number(), (AxisType.Auto,)
    return jax.make_mesh((num,), (axis,), axis_types=kinds, devices=jax.devices()[:num]) if num > 1 else None
