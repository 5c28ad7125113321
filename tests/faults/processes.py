"""Experiments in processes of their own, to which something happens, from within or from outside.

They are forked from a server that has imported everything, so that a process costs what it computes.
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import jax
import jax.numpy as jnp

import curated_retraining as cr
from curated_retraining import driver, figures, grids, metrics
from experiments import common, gmm
from experiments.plane import run as plane

FLAGS_OF_GMM = [
    "--model=gmm", "--lam=1", "--generations=4", "--seeds=1", "--pool=40", "--real=50", "--steps=1", "--first_steps=2",
    "--keep=2",
]  # fmt: skip
ON_FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "os.truncate")
_CONTEXT = multiprocessing.get_context("forkserver")


def small(out: Path) -> None:
    """The least that an experiment does: a loop in a folder, and a figure."""
    begin, advance = grids.programs(_loop, grids.grid({"lam": [1.0]}, [0]))
    history = driver.drive(out, {}, begin, advance, cells=[{"lam": "1"}], generations=4, keep=2)
    (out / "figures").mkdir(exist_ok=True)
    measured = {"reward_mean": history["reward_mean"].T[None]}
    figures.curves(out / "figures/curves.png", measured, {}, rows=common.row_titles(["1"]))


def of_gmm(out: Path) -> None:
    """`experiments.gmm` at a small size."""
    del out  # a flag says it
    plane.main(gmm.RING)


def signalled(out: Path, number: signal.Signals = signal.SIGKILL) -> None:
    """As by `kill`, `timeout`, a scheduler or Ctrl-C."""
    del out
    os.kill(os.getpid(), number)


def loses_its_folder(out: Path) -> None:
    """As by somebody who tidies up."""
    shutil.rmtree(out)


def started(
    out: Path,
    *,
    play: Callable[[Path], None] = small,
    at: tuple[str, int] | None = None,
    what: Callable[[Path], None] = signalled,
) -> BaseProcess:
    """An experiment in the folder `out`; at `(name, n)`, before the n-th use of such a file, `what` happens to it."""
    _CONTEXT.set_forkserver_preload(["experiments.gmm", "experiments.plane.run"])
    process = _CONTEXT.Process(target=_play, args=(out, play, at, what))
    process.start()
    return process


def run(out: Path, **options) -> int:
    """The exit code of `started` once it has ended: −9 where it was killed."""
    process = started(out, **options)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def killed_after(out: Path, seconds: float, **options) -> int:
    """Kills -9 a process that has computed for so long; its exit code, 0 where it was faster."""
    process = started(out, **options)
    while process.is_alive() and _computed(process) < seconds:
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def told(out: Path) -> str:
    """What the last process in `out` printed."""
    return _beside(out, "said").read_text()


def measured(out: Path) -> tuple[float, int]:
    """The seconds of computing and the uses of files that the last process took which ended by itself."""
    return tuple(json.loads(_beside(out, "measured").read_text()))


def _play(out: Path, play: Callable[[Path], None], at: tuple[str, int] | None, what: Callable[[Path], None]) -> None:
    said = os.open(_beside(out, "said"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    name, last = at or ("", 0)
    uses = 0

    def note(event, args):
        nonlocal uses
        if event in ON_FILES and f"{out}/" in (path := str(args[:2])) and name in path:
            uses += 1
            if uses == last:
                what(out)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where the suite is in the background
    sys.addaudithook(note)
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    plane.define("gmm", generations=8)
    sys.argv = ["experiments.gmm", *FLAGS_OF_GMM, f"--out={out}", f"--compilation_cache={out.parent / 'cache'}"]
    try:
        common.launch(lambda: play(out))
    finally:
        _beside(out, "measured").write_text(json.dumps((time.process_time(), uses)))


def _loop(lam):
    model, mixing = cr.gaussian(), cr.with_real(lam)
    step = cr.retraining(
        model,
        reward=lambda x: -jnp.abs(x[:, 0]),
        curate=cr.k_way(4, cr.luce()),
        mixing=mixing,
        pool_size=40,
        metrics=metrics.reward_moments(),
    )
    return cr.Loop(lambda key: cr.start(key, model, mixing, cr.uniform(jnp.eye(20, 2)), slot=10), step)


def _beside(out: Path, name: str) -> Path:
    return out.parent / f"{name}-of-{out.name}"


def _computed(process: BaseProcess) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return float("inf")
