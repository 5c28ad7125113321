"""Runs that go on where something has changed: nothing is lost without a word, no number gets another's name."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.tree_util import Partial
from test_disk import not_root

from curated_retraining.driver import RunError, checkpoints, drive, histories, write
from curated_retraining.driver.disks import aside, remedy

CELLS = [{"seed": 0}, {"seed": 1}]


def begin():
    return {"x": jnp.arange(2.0), "t": jnp.zeros(2, int)}


def advance(state):
    x = jnp.sin(state["x"]) + 1
    return {"x": x, "t": state["t"] + 1}, {"reward_mean": x}


def breaks(state):
    """Is not finite in generation 3."""
    state, report = advance(state)
    return state, {"reward_mean": jnp.where(state["t"] == 4, jnp.nan, report["reward_mean"])}


def go(folder, generations=2, advance=advance, settings=None, cells=CELLS, **options):
    return drive(
        folder, settings or {}, Partial(begin), Partial(advance), cells=cells, generations=generations, **options
    )


def steps(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


def spoil(folder, generation):
    for path in (folder / f"checkpoints/{generation}").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


# What may be wrong with the folder


@pytest.mark.parametrize("name", ["r/[2026] runs", "a**b", "a*b", "what?"])
def test_a_folder_that_is_a_pattern_is_refused_before_anything_runs(tmp_path, name):
    """Orbax would look for the parts of a checkpoint where it matches."""
    with pytest.raises(RunError, match=r"a pattern for other paths, by its [\[*?]: choose a folder without"):
        go(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_working_directory_that_was_removed_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(RunError, match="run is in a folder that was removed"):
        go("run")
    monkeypatch.chdir(tmp_path)


def test_other_cells_are_refused_and_those_of_an_older_version_are_taken(tmp_path):
    go(tmp_path)
    table = (tmp_path / "metrics.csv").read_text()
    with pytest.raises(RunError, match=r'cells\[0\]="seed=0", not "seed=7"'):
        go(tmp_path, cells=[{"seed": 7}, {"seed": 9}])
    assert (tmp_path / "metrics.csv").read_text() == table
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({name: config[name] for name in config if name != "cells"}))
    go(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == config


def test_a_folder_without_a_generation_takes_other_settings_and_one_with_other_files_does_not(tmp_path):
    def too_large(state):
        raise RunError("take a smaller pool")

    for settings in ({"pool": 10}, {"pool": 5}):
        with pytest.raises(RunError, match="take a smaller pool"):
            go(tmp_path, advance=too_large, settings=settings)
    (tmp_path / "exact.csv").write_text("made of pool=5")
    with pytest.raises(RunError, match="pool=5, not 10"):
        go(tmp_path, settings={"pool": 10})
    go(tmp_path, settings={"pool": 5})


def test_a_setting_that_is_nan_is_what_it_was(tmp_path):
    settings = {"a": float("nan"), "b": [float("nan"), 1], "c": {"d": float("inf")}}
    go(tmp_path, settings=settings)
    go(tmp_path, settings=settings | {"b": [float("nan"), 1.0]})
    with pytest.raises(RunError, match=r"b\[1\]=1, not 2"):
        go(tmp_path, settings=settings | {"b": [float("nan"), 2]})
    with pytest.raises(RunError, match=r"c\.d=Infinity, not 0"):
        go(tmp_path, settings=settings | {"c": {"d": 0}})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"flags": []}', '{"flags": "ab"}', "\xff", "[" * 100_000])
def test_a_config_of_another_kind_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(RunError, match=r"config.json is not a run's config"):
        go(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "history.bin"])
def test_a_folder_in_the_place_of_a_file_is_told(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(RunError, match=rf"{name} cannot be read \(Is a directory\)"):
        go(tmp_path)


@pytest.mark.parametrize("spoilt", ["history.bin", "checkpoints", "checkpoints/2/state"])
def test_what_may_not_be_read_is_told_and_not_taken_for_damaged(tmp_path, spoilt):
    go(tmp_path)
    for parent in tmp_path.parents:
        with contextlib.suppress(PermissionError):  # as of /tmp, which is open to all
            parent.chmod(parent.stat().st_mode | 0o555)
    os.system(f"chmod -R a+rwX {tmp_path}")
    (tmp_path / spoilt).chmod(0)
    try:
        with (
            not_root(),
            pytest.raises(RunError, match=rf"{spoilt.split('/state')[0]} cannot be read \(Permission denied\)"),
        ):
            go(tmp_path)
    finally:
        (tmp_path / spoilt).chmod(0o777)
    assert steps(tmp_path) == [0, 1, 2] and not (tmp_path / "damaged").exists()


def test_a_disk_that_cannot_lock_is_told_as_such(tmp_path, monkeypatch):
    def flock(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RunError, match=r"cannot be held for one process \(No locks available\)"):
        go(tmp_path)


def test_room_is_asked_for_where_there_is_none():
    assert remedy(OSError(errno.ENOSPC, "")) == remedy(ValueError("[OS error 27: EFBIG File too large]")) == "make room"
    assert remedy(OSError(errno.EROFS, "")) == remedy(ValueError("no number")) == "see that it can be"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Else it may be empty after a power cut."""
    done = []
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.fstat(number).st_size))
    monkeypatch.setattr(os, "replace", lambda old, new: done.append(new.name))
    write(tmp_path / "metrics.csv", "text")
    assert done == [4, "metrics.csv"]


# Checkpoints and history


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes."),
        MemoryError(),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        ValueError("Error reading: Input/output error [os_error_code='5']"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_now_is_left_where_it_is(tmp_path, monkeypatch, error):
    whole = go(tmp_path)

    def restore(*args, **options):
        raise error

    with monkeypatch.context() as patched, pytest.raises(RunError, match=r"checkpoints/2 cannot be read \(.*goes on"):
        patched.setattr(ocp.CheckpointManager, "restore", restore)
        go(tmp_path)
    assert steps(tmp_path) == [0, 1, 2] and not (tmp_path / "damaged").exists()
    np.testing.assert_equal(go(tmp_path), whole)


def test_what_is_put_aside_takes_a_free_name_or_is_told(tmp_path):
    go(tmp_path)
    (tmp_path / "damaged/2-0").mkdir(parents=True)
    (tmp_path / "damaged/2-2").mkdir()
    spoil(tmp_path, 2)
    go(tmp_path)
    spoil(tmp_path, 2)
    go(tmp_path)
    assert sorted(path.name for path in (tmp_path / "damaged").iterdir()) == ["2-0", "2-1", "2-2", "2-3"]
    shutil.rmtree(tmp_path / "damaged")
    (tmp_path / "damaged").touch()
    spoil(tmp_path, 2)
    with pytest.raises(RunError, match=r"2 cannot be used nor put aside to .*damaged \(File exists\)"):
        go(tmp_path)


def test_what_is_put_aside_may_come_to_another_disk(tmp_path, monkeypatch):
    def rename(*args):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    (tmp_path / "2").mkdir()
    (tmp_path / "2/digest").write_text("kept")
    monkeypatch.setattr(os, "rename", rename)
    assert (aside(tmp_path / "2", tmp_path / "damaged") / "digest").read_text() == "kept"
    assert not (tmp_path / "2").exists()


def test_a_history_whose_checkpoints_are_gone_is_put_aside(tmp_path, capsys):
    whole = go(tmp_path)
    content = (tmp_path / "history.bin").read_bytes()
    shutil.rmtree(tmp_path / "checkpoints")
    np.testing.assert_equal(go(tmp_path), whole)
    assert (tmp_path / "damaged/history.bin-0").read_bytes() == content
    assert "holds no checkpoint: the run begins again, and its history so far is now" in capsys.readouterr().out


def test_a_history_of_many_brackets_ends_there(tmp_path):
    (tmp_path / "history.bin").write_bytes(b"[" * 200_000 + b"\n")
    assert not list(histories.read(tmp_path / "history.bin"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda report: report | {"added": report["reward_mean"]}, r"added is missing, not float32 \[2\]"),
        (lambda report: {}, r"reward_mean is float32 \[2\], not missing"),
        (lambda report: {"reward_mean": jnp.ones((2, 3))}, r"is float32 \[2\], not float32 \[2, 3\]"),
        (lambda report: {"reward_mean": jnp.ones(2, jnp.float16)}, r"is float32 \[2\], not float16 \[2\]"),
    ],
)
def test_other_metrics_are_refused_before_anything_is_kept_of_them(tmp_path, change, said):
    def changed(state):
        state, report = advance(state)
        return state, change(report)

    go(tmp_path)
    for _ in range(2):
        with pytest.raises(RunError, match=said):
            go(tmp_path, 4, changed)
    assert steps(tmp_path) == [0, 1, 2] and go(tmp_path, 4)["reward_mean"].shape == (5, 2)


@pytest.mark.parametrize("every", [2, 5])
def test_the_generations_before_one_that_is_not_finite_are_kept(tmp_path, every):
    with pytest.raises(RunError, match="reward_mean is not finite in generation 3"):
        go(tmp_path / "broken", 8, breaks, every=every)
    assert steps(tmp_path / "broken")[-1] == 2
    np.testing.assert_equal(go(tmp_path / "broken", 4), go(tmp_path / "whole", 4))


def test_fewer_generations_than_before_are_those_asked_for_and_the_others_stay(tmp_path):
    whole = go(tmp_path, 4)
    assert go(tmp_path, 2)["reward_mean"].shape == (3, 2)
    np.testing.assert_equal(go(tmp_path, 4), whole)


# Signals and terminals


@contextlib.contextmanager
def handled(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def at(monkeypatch, generation, action):
    """Acts when that generation has been saved."""
    save = checkpoints.save

    def watched(manager, saved, *args):
        save(manager, saved, *args)
        if saved == generation:
            action()

    monkeypatch.setattr(checkpoints, "save", watched)


def test_a_signal_in_the_last_generation_ends_the_program_and_the_run_is_whole(tmp_path, monkeypatch):
    at(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGINT))
    with handled(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    assert steps(tmp_path) == [0, 1, 2] and len((tmp_path / "metrics.csv").read_text().splitlines()) == 7


def test_a_signal_while_a_complete_run_is_read_comes_after_it(tmp_path, monkeypatch):
    go(tmp_path)
    restored, came = checkpoints.restored, []

    def signalled(*args):
        signal.raise_signal(signal.SIGTERM)
        return restored(*args)

    monkeypatch.setattr(checkpoints, "restored", signalled)
    with handled(signal.SIGTERM, lambda number, frame: came.append(number)):
        go(tmp_path)
    assert came == [signal.SIGTERM]


def test_a_signal_that_is_ignored_stays_so(tmp_path, monkeypatch):
    at(monkeypatch, 0, lambda: signal.raise_signal(signal.SIGINT))
    with handled(signal.SIGINT, signal.SIG_IGN):
        assert go(tmp_path)["reward_mean"].shape == (3, 2)


def test_a_signal_is_held_where_nobody_reads_any_more(tmp_path, monkeypatch):
    class Broken:
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

        flush = write

    def stop():
        monkeypatch.setattr(sys, "stdout", Broken())
        signal.raise_signal(signal.SIGTERM)

    at(monkeypatch, 0, stop)
    with pytest.raises(RunError, match="stopped by SIGTERM after generation 1"):
        go(tmp_path)
    assert steps(tmp_path) == [0, 1]


def test_without_a_terminal_there_is_no_progress_to_show(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert go(tmp_path)["reward_mean"].shape == (3, 2)


def test_text_is_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    opened, asked = open, []

    def watched(path, mode="r", *args, **options):
        asked.append("b" in mode or options.get("encoding") == "utf-8" or str(path).endswith(".lock"))
        return opened(path, mode, *args, **options)

    monkeypatch.setattr("curated_retraining.driver.folders.open", watched, raising=False)
    go(tmp_path, cells=[{"λ": "∞"}, {"λ": "1"}])
    assert len(asked) >= 3 and all(asked)
    assert (tmp_path / "metrics.csv").read_bytes().decode().startswith("λ,generation")
