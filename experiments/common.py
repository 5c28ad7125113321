"""What the experiments share: flags, and a user's mistake told in one line."""

import errno
import io
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import numpy as np
from absl import app, flags

from curated_retraining.driver import RunError, disks
from experiments import devices, helps
from experiments.helps import group

NO_PLACE = {errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EROFS}
DISK = disks.NO_ROOM | disks.REFUSED | NO_PLACE  # no fault of ours
GENERATORS = ("threefry2x32", "rbg", "unsafe_rbg")  # of random numbers, as JAX has them; the first is its default
SEVERAL = 10_000  # the most of what is held one by one: repetitions, generations, resamples
FLOAT32 = float(np.finfo(np.float32).max)
K = "K, the size of the groups that an annotator chooses one sample from"


def define(name: str, *, generations: int, rewards: list[str]) -> None:
    """The flags of every experiment that plays a loop, with the defaults of this one."""
    with group(helps.PLAYED):
        flags.DEFINE_enum("reward", rewards[0], rewards, "what the annotators like")
    loop(name, generations=generations)
    repetitions()


def repetitions(seeds: int = 3) -> None:
    """The flags of what is played with several seeds and checkpointed."""
    with group(helps.SIZES):
        count("seeds", seeds, "repetitions", most=SEVERAL)
        count("seed", 0, "seed of the first repetition; the others follow", 0)
    checkpoints()


def loop(
    name: str,
    *,
    generations: int,
    k: int | None = 4,
    lam: tuple[str, ...] = ("inf", "1"),
    temperature: float | None = 1.0,
) -> None:
    """The flags of a curated loop and of its folder; a wrong value is refused before anything runs.

    Where choices have no temperature it is None, as is `k` where a loop has another flag of that name.
    """
    with group(helps.LOOP):
        if k is not None:
            count("k", k, K, 2)
        flags.DEFINE_list("lam", list(lam), "λ = #curated / #real, one or more of a number >= 0 or inf (the pure loop)")
        if temperature is not None:
            number("temperature", temperature, "temperature of the choice; 0 is best-of-K")
        count("generations", generations, "retrainings after generation 0", most=SEVERAL)
    folder(name)
    flags.register_validator("lam", _are_ratios, "takes one or more different numbers >= 0 or inf, such as --lam=inf,1")


def folder(name: str) -> None:
    """The flag of the folder for the results, `runs/NAME` by default."""
    with group(helps.RESULTS):
        flags.DEFINE_string("out", f"runs/{name}", "folder for the results; the same command again resumes there")
    flags.register_validator("out", bool, f"needs a folder, such as --out=runs/{name}")


def checkpoints() -> None:
    """The flags of what `drive` saves, and how much of it stays; results do not depend on them."""
    with group(helps.RESULTS):
        count("every", 1, "generations between two checkpoints")
        count("keep", None, "newest checkpoints that stay (by default all)")


def count(name: str, default: int | None, what: str, least: int = 1, most: int = helps.MANY) -> None:
    """A flag that takes a whole number within bounds."""
    flags.DEFINE_integer(name, default, what, least, most)


def number(name: str, default: float | None, what: str, *, infinite: bool = False) -> None:
    """A flag that takes a number of at least 0: one that float32 holds, or any if `infinite`.

    The bounds of absl would let NaN pass.
    """
    most, kind = (math.inf, "number >= 0 or inf") if infinite else (FLOAT32, "number >= 0 that float32 holds")
    flags.DEFINE_float(name, default, what)
    flags.register_validator(
        name, lambda value: value is None or 0 <= value <= most, f"takes a {kind}, such as --{name}=1"
    )


def several(name: str, known: Iterable[str], what: str, default: list[str] | None = None) -> None:
    """A flag that is given once for each of the `known` that are to be played, by default all."""
    known = list(known)
    flags.DEFINE_multi_enum(name, default or known, known, f"{what}; give it again for more")
    flags.register_validator(name, lambda values: len(set(values)) == len(values), "takes each value once")


def seeds() -> range:
    """Those of the repetitions."""
    return range(flags.FLAGS.seed, flags.FLAGS.seed + flags.FLAGS.seeds)


def floats(texts: list[str]) -> list[float]:
    """The numbers of a flag that takes several; none where one of them is no number."""
    try:
        return [float(text) for text in texts]
    except ValueError:
        return []


def distinct(texts: list[str]) -> list[float]:
    """The same of numbers that are each played once: none where two are equal."""
    values = floats(texts)
    return values if len(set(values)) == len(values) else []


def is_whole(text: str, least: int, most: int = helps.MANY) -> bool:
    """Whether `text` is a whole number within bounds; of thousands of digits Python reads none."""
    return text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most


def is_point(texts: list[str] | None) -> bool:
    """Whether `texts` are the two finite coordinates of a point, or nothing."""
    values = floats(texts or [])
    return texts is None or (len(values) == 2 and all(map(math.isfinite, values)))


def settings(*names: str) -> dict:
    """The flags that the results depend on: `names`, or all of ours but where, how often and how much to save.

    The kind of random numbers is one of them everywhere, and which experiment it is: some have the same flags.
    """
    elsewhere = ("out", "every", "keep", "compilation_cache", *devices.FLAGS)
    names = names or tuple(flag.name for flag in ours() if flag.name not in elsewhere)
    script = Path(sys.argv[0])
    own = {
        "experiment": script.parent.name if script.stem == "__main__" else script.stem,
        "prng": jax.random.key_impl(jax.random.key(0)),
    }
    return {name: flags.FLAGS[name].value for name in names} | own


def launch(main: Callable[..., None], *, arguments: str = "") -> None:
    """Runs an experiment; a user's mistake ends in one line and a status that is not zero.

    `arguments` says what `main` takes beside flags; by default nothing.
    """
    if not arguments:
        with group(helps.RESULTS):
            flags.DEFINE_string("compilation_cache", _cache(), "folder that keeps compiled programs; empty for none")
        with group(helps.SIZES):
            flags.DEFINE_enum("prng", GENERATORS[0], GENERATORS, "kind of random numbers, as JAX has them")
    docstring = sys.modules["__main__"].__doc__ or ""
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)  # absl would show which backends are not there

    def guarded(argv):
        if len(argv) > 1 and not arguments:
            sys.exit(f"error: unknown argument {argv[1]!r}; flags look like --lam=inf,1")
        if not arguments:
            jax.config.update("jax_compilation_cache_dir", flags.FLAGS.compilation_cache or None)
            jax.config.update("jax_default_prng_impl", flags.FLAGS.prng)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop is told as Ctrl-C is
        try:
            devices.join()
            main(*argv[1:])
        except (RunError, app.UsageError) as error:
            sys.exit(f"error: {error}")
        except OSError as error:  # of figures and tables: the driver tells its own
            if error.errno not in DISK:
                raise
            what = f"{error.filename or 'a file'} cannot be written ({disks.reason(error)})"
            sys.exit(f"error: {what}: {disks.remedy(error)}, and the same command goes on")
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            sys.exit("error: the memory does not suffice: take a smaller --pool, --k or fewer points")
        except KeyboardInterrupt:
            sys.exit("stopped: the same command goes on, from the last checkpoint where there is one")

    if isinstance(sys.stdout, io.TextIOWrapper):  # it is None where it was closed
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no Greek letters still gets the table
    with helps.read_while_wanted():
        app.run(guarded, flags_parser=lambda argv: helps.parsed(argv, docstring, ours(), arguments))


def _cache() -> str:
    """Where compiled programs are kept; nowhere for a user without a home."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return "" if folder.startswith("~") else str(Path(folder) / "curated_retraining")


def ours() -> list[flags.Flag]:
    """The flags that experiments define; absl files those of the script that runs under its path."""
    found = flags.FLAGS.flags_by_module_dict()
    theirs = [module for module in found if module.startswith("experiments.") or module == sys.argv[0]]
    return [flag for module in theirs for flag in found[module]]


def row_titles(lams: list[str]) -> list[str]:
    """What figures call the rows of λ."""
    return ["pure loop, λ = ∞" if math.isinf(float(lam)) else f"real + curated, λ = {lam}" for lam in lams]


def _are_ratios(texts: list[str]) -> bool:
    values = distinct(texts)
    return bool(values) and all(value >= 0 for value in values)
