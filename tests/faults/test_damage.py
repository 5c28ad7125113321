"""Checkpoints that are damaged or of another run: the newest intact generation is used, or the run is refused."""

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import begin, contents, go

from curated_retraining.driver import RunError


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_is_used(tmp_path, damage, capsys):
    intact, copy = go(tmp_path / "run", generations=2), tmp_path / "copy"
    relative = Path("checkpoints/2")
    put_aside = 0
    for path in sorted(path for path in (tmp_path / "run" / relative).rglob("*") if path.is_file()):
        if not path.stat().st_size and damage != "missing":
            continue
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path / "run", copy)
        _spoil(copy / path.relative_to(tmp_path / "run"), damage)
        capsys.readouterr()
        np.testing.assert_equal(go(copy, generations=2), intact)
        assert (copy / "metrics.csv").read_bytes() == (tmp_path / "run/metrics.csv").read_bytes()
        assert (copy / relative).is_dir()
        said = capsys.readouterr().out
        told = f"damaged: it is now {copy}/damaged/2-0, and generation 1 is used" in said
        assert ("compiled" in said) == told == (copy / "damaged/2-0").exists()  # else nothing depends on that file
        put_aside += told
    assert put_aside >= 3  # the state, the history and the digest at least


def test_what_is_whole_but_of_another_run_counts_as_damaged(tmp_path):
    """A state with the digest of another, and a history that no checkpoint was saved with."""
    run, other = tmp_path / "run", tmp_path / "other"
    intact, _ = go(run, generations=2), go(other, generations=2, begin=lambda: begin() | {"x": jnp.ones(2)})
    shutil.rmtree(run / "checkpoints/2/state")
    shutil.copytree(other / "checkpoints/2/state", run / "checkpoints/2/state")
    np.testing.assert_equal(go(run, generations=2), intact)
    assert (run / "damaged/2-0").exists()
    shutil.copy(other / "history.bin", run / "history.bin")
    with pytest.raises(RunError, match="2 stands on a history that is damaged"):
        go(run, generations=2)


def test_where_no_checkpoint_is_intact_the_run_is_refused_and_nothing_is_touched(tmp_path):
    go(tmp_path / "run", generations=1)
    for path in sorted((tmp_path / "run/checkpoints").rglob("*")):
        if path.is_file() and path.stat().st_size:
            _spoil(path, "flip")
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="checkpoints/1 is damaged or another program's, and no older one is intact"):
        go(tmp_path / "run", generations=1)
    assert contents(tmp_path / "run") == before


def test_the_checkpoints_of_another_architecture_are_refused_and_nothing_is_touched(tmp_path):
    go(tmp_path / "run", generations=1)
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="another program's"):
        go(tmp_path / "run", generations=1, begin=lambda: begin() | {"more": jnp.zeros(2)})
    assert contents(tmp_path / "run") == before


def _spoil(path: Path, damage: str) -> None:
    """Flips a byte in the middle of a file, cuts it there, empties it or removes it."""
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    path.unlink()
    if damage != "missing":
        path.write_bytes({"flip": flipped, "cut": content[:middle], "empty": b""}[damage])
