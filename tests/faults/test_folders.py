"""What may be wrong with a run's folder is told before anything is computed, and no run gets another's numbers."""

import contextlib
import errno
import fcntl
import json
import os

import pytest
from test_disk import not_root
from tiny import go, steps

from curated_retraining.driver import RunError, write
from curated_retraining.driver.disks import remedy


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


def test_a_run_that_goes_on_in_another_environment_says_so(tmp_path, capsys):
    def go_on():
        capsys.readouterr()
        go(tmp_path)
        return capsys.readouterr().out

    go(tmp_path)
    assert "begun with" not in go_on()
    config = json.loads((tmp_path / "config.json").read_text())
    now, device = config["versions"]["jax"], config["device"]
    config["versions"]["jax"], config["device"] = "0.0.1", "abacus"
    (tmp_path / "config.json").write_text(json.dumps(config))
    for _ in range(2):
        assert f'begun with versions.jax="0.0.1", now "{now}", device="abacus", now "{device}": gen' in go_on()
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
