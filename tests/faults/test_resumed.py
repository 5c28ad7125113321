"""Runs that go on where something has changed: nothing is lost without a word, no number gets another's name."""

import errno
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tiny import advance, go, steps

from curated_retraining.driver import RunError, histories
from curated_retraining.driver.disks import aside


def breaks(state):
    """Is not finite in generation 3."""
    state, report = advance(state)
    return state, {"reward_mean": jnp.where(state["t"] == 4, jnp.nan, report["reward_mean"])}


def spoil(folder, generation):
    for path in (folder / f"checkpoints/{generation}").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


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


def test_a_checkpoint_that_was_being_removed_goes_with_the_next_run(tmp_path):
    whole = go(tmp_path, keep=2)
    for left in ("0", "0/state"):
        (tmp_path / "checkpoints" / left).mkdir()
    np.testing.assert_equal(go(tmp_path, keep=2), whole)
    assert steps(tmp_path) == [1, 2]


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
