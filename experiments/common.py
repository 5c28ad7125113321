"""What the experiments share: flags, and a user's mistake told in one line."""

import logging
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from absl import app, flags
from jax.sharding import AxisType, Mesh

from curated_retraining.driver import RunError

DEVICES = ("devices", "multihost", "coordinator", "processes", "process")
SEEDS = 2**30  # the largest seed, and how many: their sum is an int32


def define(name: str, *, generations: int, rewards: list[str]) -> None:
    """The flags of every experiment that plays a loop, with the defaults of this one."""
    flags.DEFINE_enum("reward", rewards[0], rewards, "what the annotators like")
    loop(name, generations=generations)
    repetitions()


def repetitions() -> None:
    """The flags of what is played with several seeds and checkpointed."""
    flags.DEFINE_integer("seeds", 3, "repetitions", 1, SEEDS)
    flags.DEFINE_integer("seed", 0, "seed of the first repetition; the others follow", 0, SEEDS)
    checkpoints()


def loop(
    name: str,
    *,
    generations: int,
    k: int = 4,
    lam: tuple[str, ...] = ("inf", "1"),
    temperature: float | None = 1.0,
) -> None:
    """The flags of a curated loop and of its folder; a wrong value is refused before anything runs.

    Where choices have no temperature it is None.
    """
    flags.DEFINE_integer("k", k, "K, the size of the groups that an annotator chooses one sample from", lower_bound=2)
    flags.DEFINE_list("lam", list(lam), "λ = #curated / #real, one or more of a number >= 0 or inf (the pure loop)")
    if temperature is not None:
        number("temperature", temperature, "temperature of the choice; 0 is best-of-K")
    flags.DEFINE_integer("generations", generations, "retrainings after generation 0", lower_bound=1)
    flags.DEFINE_string("out", f"runs/{name}", "folder for the results; the same command again resumes there")
    flags.register_validator("lam", _are_ratios, "takes one or more of a number >= 0 or inf, such as --lam=inf,1")


def checkpoints() -> None:
    """The flags of what `drive` saves, and how much of it stays; results do not depend on them."""
    flags.DEFINE_integer("every", 1, "generations between two checkpoints", lower_bound=1)
    flags.DEFINE_integer("keep", None, "newest checkpoints that stay (by default all)", lower_bound=1)


def devices() -> None:
    """The flags of the devices that share the cells, each λ with each seed; no bit of a result depends on them."""
    flags.DEFINE_integer("devices", None, "devices that share λ × seeds (by default one; all with --multihost)", 1)
    flags.DEFINE_bool("multihost", False, "whether this command runs on several hosts at once, on all their devices")
    flags.DEFINE_string("coordinator", None, "host:port of process 0, on hosts that JAX does not know of by itself")
    flags.DEFINE_integer("processes", None, "their number, with --coordinator", 1)
    flags.DEFINE_integer("process", None, "which of them this is, from 0, with --coordinator", 0)


def mesh(cells: int) -> Mesh | None:
    """The devices that the flags tell to share so many cells; None for one alone.

    Raises:
        UsageError: where there are not so many, or the cells do not split over them.
    """
    there = jax.devices()
    num = flags.FLAGS.devices or (len(there) if flags.FLAGS.multihost else 1)
    if num > len(there):
        raise app.UsageError(f"--devices={num} are more than there are: take {len(there)} at most")
    if flags.FLAGS.multihost and num < len(there):
        raise app.UsageError(f"--devices={num} with --multihost, which takes all {len(there)}: leave one of them out")
    if cells % num:
        raise app.UsageError(
            f"{cells} cells, --lam × --seeds, do not split over {num} devices: take --seeds={num} or a multiple of it"
        )
    kinds = (AxisType.Auto,)
    return jax.make_mesh((num,), ("cells",), axis_types=kinds, devices=there[:num]) if num > 1 else None


def number(name: str, default: float | None, what: str) -> None:
    """A flag that takes a finite number of at least 0."""
    flags.DEFINE_float(name, default, what)
    flags.register_validator(
        name, lambda value: value is None or 0 <= value < math.inf, f"takes a finite number >= 0, such as --{name}=1"
    )


def settings() -> dict:
    """The flags that the results depend on: all of ours but where, how often and how much to save."""
    elsewhere = ("out", "every", "keep", "compilation_cache", *DEVICES)
    return {flag.name: flag.value for flag in _ours() if flag.name not in elsewhere}


def launch(main: Callable[[], None]) -> None:
    """Runs an experiment; a user's mistake ends in one line and a status that is not zero."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curated_retraining"
    flags.DEFINE_string("compilation_cache", str(cache), "folder that keeps compiled programs; empty for none")
    for flag in _ours():
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # what --help lists
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)  # absl would show which backends are not there

    def guarded(argv):
        if len(argv) > 1:
            sys.exit(f"error: unknown argument {argv[1]!r}; flags look like --lam=inf,1")
        jax.config.update("jax_compilation_cache_dir", flags.FLAGS.compilation_cache or None)
        try:
            _join()
            main()
        except (RunError, app.UsageError) as error:
            sys.exit(f"error: {error}")
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            sys.exit("error: the memory does not suffice: take a smaller --pool, --k or fewer points")
        except KeyboardInterrupt:
            sys.exit("stopped: the same command goes on, from the last checkpoint where there is one")

    app.run(guarded)


def row_titles(lams: list[str]) -> list[str]:
    """What figures call the rows of λ."""
    return ["pure loop, λ = ∞" if math.isinf(float(lam)) else f"real + curated, λ = {lam}" for lam in lams]


def by_row(values: np.ndarray, rows: int) -> np.ndarray:
    """`[generations, rows × seeds, ...]` as `[rows, seeds, generations, ...]`."""
    cells = np.moveaxis(values, 0, 1)
    return cells.reshape(rows, -1, *cells.shape[1:])


def _join() -> None:
    """Meets the processes on other hosts."""
    given = {name: flags.FLAGS[name].value for name in DEVICES if name in flags.FLAGS}
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


def _ours() -> list[flags.Flag]:
    found = flags.FLAGS.flags_by_module_dict()
    return [flag for module in found if module.startswith("experiments.") for flag in found[module]]


def _are_ratios(texts: list[str]) -> bool:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return False
    return bool(values) and all(value >= 0 for value in values)
