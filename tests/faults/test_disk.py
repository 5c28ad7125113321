"""Disks that are full, cannot be written or lose what was on them: an intact generation or a clear error."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from curated_retraining.driver import RunError, checkpoints, drive, histories, write
from curated_retraining.driver.histories import START

CELLS = [{"seed": 0}, {"seed": 1}]


def begin(size):
    return {"x": jax.random.normal(jax.random.key(0), (2, size))}


def advance(wide, state):
    x = jnp.sin(state["x"]) + 1
    return {"x": x}, {"reward_mean": x[:, 0], "share": x[:, :3], "pool": jnp.tile(x[:, :1], (1, wide.shape[0]))}


def go(folder, generations=3, size=4, wide=1, **options):
    programs = Partial(lambda: begin(size)), Partial(advance, jnp.zeros(wide))
    return drive(folder, {}, *programs, cells=CELLS, generations=generations, **options)


@contextlib.contextmanager
def files_of_at_most(size):
    """As on a disk without room: a longer file cannot be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def not_root():
    """Root may write anywhere: takes the rights of nobody."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize(("sizes", "named"), [({"size": 60_000}, "checkpoints/0"), ({"wide": 60_000}, "history.bin")])
def test_without_room_the_run_stops_with_an_error_and_goes_on_when_there_is_some(tmp_path, sizes, named):
    with files_of_at_most(200_000), pytest.raises(RunError, match=rf"{named} cannot be written \(.*make room"):
        go(tmp_path / "full", generations=1, **sizes)
    assert not (tmp_path / "full/metrics.csv").exists()
    np.testing.assert_equal(
        go(tmp_path / "full", generations=1, **sizes), go(tmp_path / "whole", generations=1, **sizes)
    )


def test_a_table_without_room_is_told_and_leaves_the_old_one(tmp_path):
    write(tmp_path / "metrics.csv", "old")
    with files_of_at_most(10), pytest.raises(RunError, match=r"metrics.csv cannot be written \(File too large\)"):
        write(tmp_path / "metrics.csv", "new" * 10)
    assert (tmp_path / "metrics.csv").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_refused():
    above = Path(tempfile.mkdtemp())
    try:
        above.chmod(0o555)
        with not_root(), pytest.raises(RunError, match=r"run cannot be written \(Permission denied\)"):
            go(above / "run")
        assert not list(above.iterdir())
    finally:
        shutil.rmtree(above)


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_is_taken_away_is_told_and_nothing_is_written_in_its_place(tmp_path, monkeypatch, again):
    folder, save = tmp_path / "run", checkpoints.save

    def saved_once(*args):
        save(*args)
        shutil.rmtree(folder)
        if again:
            folder.mkdir()
            (folder / ".lock").touch()

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save", saved_once)
        patched.setattr(sys.modules[drive.__module__], "write", lambda *args: None)
        with pytest.raises(RunError, match="was removed or replaced while the run went on"):
            go(folder)
    assert [path.name for path in folder.rglob("*")] == ([".lock"] if again else [])
    np.testing.assert_equal(go(folder), go(tmp_path / "whole"))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_a_damaged_history_is_used_as_far_as_it_is_intact(tmp_path, damage, capsys):
    """Of four generations it is damaged in generation 2: 1 is the last that can be used."""
    intact = go(tmp_path / "whole")
    path = tmp_path / "whole/history.bin"
    ends = [place.end for _, place in histories.read(path)]
    content = path.read_bytes()
    middle = (ends[1] + ends[2]) // 2
    damaged = {
        "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "cut": content[:middle],
        "empty": b"",
        "missing": None,
    }[damage]
    path.unlink() if damaged is None else path.write_bytes(damaged)
    capsys.readouterr()
    if damage in ("empty", "missing"):
        with pytest.raises(RunError, match=r"checkpoints/3 stands on a history that is damaged \(history.bin\)"):
            go(tmp_path / "whole")
        return
    np.testing.assert_equal(go(tmp_path / "whole"), intact)
    assert path.read_bytes() == content
    said = capsys.readouterr().out
    for generation in (3, 2):
        assert f"generation {generation} stands on a history that is damaged (history.bin): it is now" in said
    assert "and generation 1 is used" in said


def test_any_changed_byte_of_a_history_is_noticed(tmp_path):
    rows = [{"reward_mean": np.full((1, 2), t, np.float32), "n": np.full((1, 2, 3), t)} for t in range(3)]
    path = tmp_path / "history.bin"
    place = histories.append(path, START, rows)
    content = path.read_bytes()
    assert place.end == len(content)
    ends = [place.end for _, place in histories.read(path)]
    for at in range(0, len(content), 3):
        for bit in (1, 128):
            path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
            found = [row for row, _ in histories.read(path)]
            assert len(found) == sum(end <= at for end in ends)
    path.write_bytes(content)
    assert histories.append(path, list(histories.read(path))[1][1], rows[2:]) == place
    assert path.read_bytes() == content


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float64, np.int8, bool])
def test_a_history_gives_back_numbers_of_any_kind(tmp_path, dtype):
    row = {"x": np.arange(6).reshape(1, 2, 3).astype(dtype)}
    histories.append(tmp_path / "history.bin", START, [row, row])
    (_, _), (found, _) = histories.read(tmp_path / "history.bin")
    assert found["x"].dtype == row["x"].dtype
    np.testing.assert_array_equal(found["x"], row["x"])


def test_a_history_that_was_cut_off_meanwhile_is_not_written_beyond_its_end(tmp_path):
    path, row = tmp_path / "history.bin", {"x": np.zeros((1, 2))}
    place = histories.append(path, START, [row])
    path.write_bytes(b"")
    with pytest.raises(RunError, match="was cut off while the run went on"):
        histories.append(path, place, [row])


def test_a_damaged_table_is_written_anew(tmp_path):
    go(tmp_path)
    whole = (tmp_path / "metrics.csv").read_bytes()
    (tmp_path / "metrics.csv").write_bytes(whole[:20])
    go(tmp_path)
    assert (tmp_path / "metrics.csv").read_bytes() == whole


@pytest.mark.long
def test_a_full_disk(tmp_path):
    """A file system of its own of 1 MiB, where this machine lets one be made."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(RunError, match=r"cannot be written.*make room"):
            go(disk / "run", generations=20, size=20_000)
        held = max(int(path.name) for path in (disk / "run/checkpoints").iterdir() if path.name.isdigit())
        assert 1 <= held < 20
        for generation in range(held):
            shutil.rmtree(disk / f"run/checkpoints/{generation}")
        np.testing.assert_equal(
            go(disk / "run", generations=20, size=20_000, keep=1), go(tmp_path / "whole", generations=20, size=20_000)
        )
    finally:
        subprocess.run(["umount", disk], check=True)
