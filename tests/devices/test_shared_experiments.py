"""Experiments that two simulated devices share, against one device; and flags of sharing that cannot be."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from absl import app, flags
from commands import command
from jax.sharding import AbstractMesh, AxisType

from curated_retraining import grids
from experiments import cyclic, devices, loops
from experiments.crowd import run as crowd
from experiments.images import run as images
from experiments.images import sharing
from experiments.learned_reward import __main__ as learned_reward
from experiments.moving import __main__ as moving

ROOT = Path(__file__).parents[2]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # sums of 8 float32 numbers, taken in another order through two generations


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    own = {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
        "NPROC": "8",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }
    command = [sys.executable, str(ROOT / "tests/devices/experiment_runs.py"), str(folder)]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return folder


def read(folder, name):
    return (folder / name).read_bytes()


def test_shared_cells_have_the_bits_of_one_device(shared):
    assert read(shared, "cells/metrics.csv") == read(shared, "one/metrics.csv")


def test_shared_batches_have_the_numbers_of_one_device_but_for_rounding(shared):
    found, expected = (
        np.genfromtxt(shared / name / "metrics.csv", delimiter=",", names=True) for name in ("batch", "one")
    )
    assert len(expected) == 6
    for name in expected.dtype.names:
        np.testing.assert_allclose(found[name], expected[name], **CLOSE, err_msg=name)


def test_devices_are_used_and_are_no_setting_of_a_run(shared):
    whole, split = [2, "P()"], [2, "P('cells',)"]
    assert json.loads(read(shared, "seen.json")) == [
        ["generation_0", "_fit_sharded", whole],
        ["batch", "_fit_sharded", whole],
        ["generation_0", "fit", None],
        ["one", "fit", None],
        ["generation_0", "fit", None],
        ["cells", "fit", split],
    ]
    first, *others = (json.loads(read(shared, f"{name}/config.json"))["flags"] for name in ("one", "cells", "batch"))
    assert others == [first, first] and not {"devices", "share"} & first.keys()


def test_what_drives_several_experiments_hands_cells_to_the_devices(monkeypatch, tmp_path):
    over = AbstractMesh((2,), ("cells",), axis_types=(AxisType.Auto,))
    taken = []
    monkeypatch.setattr(loops, "drive", lambda *given, **options: taken.append((given[3], options["sharding"])) or {})
    with command(cyclic):
        flags.FLAGS(["cyclic", "--seeds=2"])
        loops.driven(tmp_path, cyclic.make, [{"lam": 1.0, "seed": seed} for seed in range(2)], mesh=over)
    ((advance, sharding),) = taken
    assert advance.args[1].value == (1, over) and sharding == grids.over(over)


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--devices=9"], "--devices=9 are more than there are: take 8"),
        (["--devices=8"], "2 cells, .* --devices=8: take --seeds=8 .* or --share=batch"),
        (["--devices=3", "--share=batch"], "batches of 64 images .* --devices=3 .*take --devices=1, or --share=cells"),
        (["--devices=8", "--share=batch"], "--chunk=500 .* --devices=8 .*take a multiple of 8"),
        (["--devices=8", "--share=batch", "--pool=1204"], "--pool=1204 .* --devices=8 .*take a multiple of 8"),
    ],
)
def test_what_devices_cannot_share_of_images_is_refused_before_anything_runs(given, said, tmp_path, eight):
    x = -np.ones((10, 4, 4, 1), np.float32) * np.linspace(0.5, 1, 10, dtype=np.float32)[:, None, None, None]
    np.savez(tmp_path / "images.npz", x=x, label=np.arange(10) % 2)
    with command(images) as run:
        found = run("--dataset=npz", f"--npz={tmp_path}/images.npz", f"--out={tmp_path}/run", *given)
    assert found and re.search(said, found), found
    assert not (tmp_path / "run").exists()


def test_kinds_of_random_numbers_that_depend_on_devices_are_refused_for_batches(eight):
    with command(images):
        flags.FLAGS(["images", "--devices=8", "--share=batch"])
        with (
            jax.default_prng_impl("rbg"),
            pytest.raises(app.UsageError, match=r"--prng=rbg .*take --prng=threefry2x32"),
        ):
            sharing.by_flags(2000, 64)


@pytest.mark.parametrize("experiment", [crowd, cyclic, learned_reward, moving])
def test_the_devices_that_share_are_handed_on(experiment, monkeypatch, tmp_path):
    def driven(*_, mesh=None, **__):
        raise app.UsageError(f"driven on {mesh}")

    monkeypatch.setattr(devices, "mesh", lambda cells: f"{cells} cells")
    monkeypatch.setattr(loops, "driven", driven)
    with command(experiment) as run:
        assert re.fullmatch(r"driven on \d+ cells", run("--seeds=2", f"--out={tmp_path}/run"))


@pytest.mark.parametrize("experiment", [crowd, cyclic, learned_reward, moving])
def test_cells_that_do_not_split_are_refused_before_anything_runs(experiment, eight, tmp_path):
    with command(experiment) as run:
        said = run("--devices=8", f"--out={tmp_path}/run")
    assert said and re.search("cells, .* --devices=8: take --seeds=8", said), said
    assert not (tmp_path / "run").exists()
