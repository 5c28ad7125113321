"""Runs that are killed at any moment, told to stop or started twice end with the bytes of one that was left alone."""

import json
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import processes
import pytest

from curated_retraining.driver import checkpoints

KILLS = int(os.environ.get("KILLS", "200"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing disturbs; it compiles, for all that come."""
    out = tmp_path_factory.mktemp("faults") / "whole"
    assert processes.run(out) == 0, processes.told(out)
    return out


def test_killed_while_it_compiles_saves_and_draws_a_run_ends_with_the_same_bytes(whole):
    out = whole.with_name("killed")
    for at in ((".config.json", 2), ("checkpoints/1", 2), ("metrics.csv", 2), ("curves.png", 1)):
        assert processes.run(out, at=at) == -9
        assert_nothing_is_half(out, whole)
    for program in (whole.parent / "cache").iterdir():  # a kill while one is kept
        os.truncate(program, program.stat().st_size // 2)
    assert processes.run(out) == 0, processes.told(out)
    assert_same(out, whole)


def test_a_second_process_is_refused(whole):
    out = whole.with_name("shared")
    first = processes.started(out)
    wait_for(out / "config.json", first)
    os.kill(first.pid, signal.SIGSTOP)
    assert processes.run(out) == 1
    assert "in use by another process: wait for it" in processes.told(out)
    os.kill(first.pid, signal.SIGCONT)
    first.join()
    assert first.exitcode == 0
    assert_same(out, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_a_run_keeps_its_generation_and_says_that_the_same_command_goes_on(whole, number):
    out, stop = whole.with_name(f"stopped-by-{number}"), partial(processes.signalled, number=number)
    assert processes.run(out, at=("checkpoints/0", 1), what=stop) == 1
    newest = max(int(path.name) for path in (out / "checkpoints").iterdir())
    assert newest < 4 and f"stopped by {number.name} after generation {newest}: the same" in processes.told(out)
    assert processes.run(out, at=("curves.png", 1), what=stop) == 1
    assert "stopped: the same command goes on" in processes.told(out) and "Traceback" not in processes.told(out)
    assert processes.run(out) == 0, processes.told(out)
    assert_same(out, whole)


@pytest.mark.parametrize("at", ["config.json", "checkpoints/2", "curves.png"])
def test_a_folder_that_is_taken_away_at_any_moment_is_told_in_one_line(whole, at):
    out = whole.with_name("gone")
    assert processes.run(out, at=(at, 1), what=processes.loses_its_folder) == 1
    told = processes.told(out)
    assert re.search(r"error: .*(removed or replaced|cannot be written \(No such file)", told), told
    assert "Traceback" not in told and not list(out.rglob("*.csv"))
    shutil.rmtree(out, ignore_errors=True)


@pytest.mark.long
@pytest.mark.parametrize("play", [processes.of_gmm, processes.small])
def test_hundreds_of_kills_at_random_moments(tmp_path, play):
    """Half of them after a random time of computing, half before a random use of a file; a third compile anew."""
    rng, moments, runs, whole, out = random.Random(0), Counter(), 0, tmp_path / "whole", tmp_path / "often"
    seconds = {}
    for cached in (False, True):
        shutil.rmtree(whole, ignore_errors=True)
        assert processes.run(whole, play=play) == 0, processes.told(whole)
        seconds[cached], uses = processes.measured(whole)
    while moments.total() < KILLS:
        cached = rng.random() > 1 / 3
        if not cached:
            shutil.rmtree(tmp_path / "cache")
        if rng.random() < 0.5:
            code = processes.killed_after(out, rng.uniform(0, seconds[cached]), play=play)
        else:
            code = processes.run(out, play=play, at=("", rng.randint(1, uses)))
        assert code in (0, -9), processes.told(out)
        assert_nothing_is_half(out, whole)
        if code:
            moments[moment(out)] += 1
        if code == 0 or moments.total() == KILLS:
            assert processes.run(out, play=play) == 0, processes.told(out)
            assert_same(out, whole)
            shutil.rmtree(out)
            runs += 1
    print(f"{KILLS} kills of {runs} runs: {dict(moments)}")
    assert len(moments) == 5 and runs > KILLS / 20


def moment(out: Path) -> str:
    """What a process was at when it was killed, by what it left."""
    if not (out / "history.bin").exists():
        return "start, compilation and generation 0"
    if (out / "figures").exists():
        return "figures"
    if any("tmp" in path.name for path in (out / "checkpoints").iterdir()):
        return "a checkpoint"
    if (out / ".metrics.csv.partial").exists():
        return "metrics.csv"
    return "generations"


def assert_nothing_is_half(out: Path, whole: Path) -> None:
    """All that has a name without a dot is a part of the whole run."""
    if (out / "config.json").exists():
        assert json.loads((out / "config.json").read_text()) == json.loads((whole / "config.json").read_text())
    if (out / "metrics.csv").exists():
        lines = (out / "metrics.csv").read_text().splitlines()
        assert lines == (whole / "metrics.csv").read_text().splitlines()[: len(lines)]  # one cell: rows only come
    for name in drawn(out):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


def assert_same(out: Path, whole: Path) -> None:
    """Numbers, figures and the last checkpoint are equal to the bit, and nothing else is left."""
    assert drawn(out) == drawn(whole)
    for name in ("metrics.csv", "history.bin", *drawn(whole)):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (out / "damaged").exists()
    steps = [sorted(path.name for path in (folder / "checkpoints").iterdir()) for folder in (out, whole)]
    assert steps[0] == steps[1]
    jax.tree.map(np.testing.assert_array_equal, last(out), last(whole))


def drawn(out: Path) -> list[str]:
    """Figures, frames and the exact course, but for files that are being written."""
    found = [*(out / "figures").rglob("*"), *out.glob("exact.csv")]
    return sorted(str(path.relative_to(out)) for path in found if path.is_file() and not path.name.startswith("."))


def last(out: Path):
    """The state in the last checkpoint, and the digests beside it."""
    with checkpoints.opened(out / "checkpoints") as manager:
        items = ocp.args.Composite(state=ocp.args.StandardRestore(), digest=ocp.args.JsonRestore())
        found = manager.restore(manager.latest_step(), args=items)
    return found["state"], sorted(found["digest"].items())


def wait_for(path: Path, process) -> None:
    deadline = time.monotonic() + 600
    while not path.exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert path.exists() and process.is_alive(), f"it ended before {path} was there"
