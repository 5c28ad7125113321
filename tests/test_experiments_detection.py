"""The detection as a user runs it: loops simulated or files read, a table and a figure, mistakes in one line."""

import csv

import jax
import numpy as np
import pytest
from commands import command
from PIL import Image

from experiments.detection import run as detection

LOOPS = [
    "--curated=1000", "--samples=500", "--generations=1", "--seeds=2", "--k=2", "--lam=inf,1", "--find=k",
    "--level=0.99994",
]  # fmt: skip


@pytest.fixture(scope="module")
def run():
    with command(detection) as call:
        yield call


def saved(folder):
    """1,000 rewards before, after and of real data: half of those after are real, half the best of 4."""
    rng = np.random.default_rng(0)
    before, real = rng.normal(size=(2, 1000))
    after = np.concatenate([real[:500], rng.normal(size=(500, 4)).max(axis=1)])
    for name, values in (("a", before), ("b", after), ("c", real)):
        np.save(folder / f"{name}.npy", values)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("files"))


def read(path):
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(path.open())]


def held(rows):
    """Asserts that intervals of loops of K = 2 hold it."""
    assert all(float(row["k_low"]) <= 2 <= float(row["k_high"]) for row in rows)


def whole(path):
    with Image.open(path) as image:
        image.load()


def test_loops_are_played_judged_and_compared_with_the_truth(run, tmp_path, capsys):
    """A mixture of Gaussians on the ring: 4 loops, whose intervals of 4 standard errors hold K."""
    out = tmp_path / "run"
    assert run(*LOOPS, f"--out={out}") is None
    rows = read(out / "detection.csv")
    assert [(row["k"], row["lam"], row["seed"]) for row in rows] == [
        (2, lam, seed) for lam in (np.inf, 1) for seed in (0, 1)
    ]
    held(rows)
    assert all(row["k_low"] <= row["k_found"] <= row["k_high"] for row in rows)
    assert all(abs(row["lam_found"] - row["lam"]) < 1e-4 for row in rows if row["lam"] == 1)
    said = capsys.readouterr().out
    assert "2/2" in said and str(out) in said
    whole(out / "figures/detection.png")
    assert {"config.json", "metrics.csv", "checkpoints"} <= {path.name for path in (out / "k=2").iterdir()}
    assert (
        "reward_mean" in (out / "k=2/metrics.csv").read_text()
        and "rewards_0" not in (out / "k=2/metrics.csv").read_text()
    )
    assert "holds a run with" in run(*LOOPS, "--level=0.9", f"--out={out}")
    with jax.default_prng_impl("rbg"):
        assert 'holds a run with prng="threefry2x32", not "rbg"' in run(*LOOPS, f"--out={out}")


@pytest.mark.statistical
def test_files_are_judged(run, tmp_path_factory, capsys):
    """λ = 1, intervals of 4 standard errors; a misfit below 1e-4 has these odds."""
    files = saved(tmp_path_factory.mktemp("judged"))
    inputs = [f"--before={files / 'a.npy'}", f"--after={files / 'b.npy'}", f"--real={files / 'c.npy'}"]
    assert run(*inputs, "--temperature=0", "--level=0.9999", f"--out={files / 'run'}") is None
    (row,) = read(files / "run/detection.csv")
    assert (
        row["k_low"] <= 4 <= row["k_high"] and row["lam_low"] <= 1 <= row["lam_high"] and row["temperature_found"] == 0
    )
    assert row["p_value"] < 1e-4 < row["misfit"]
    said = capsys.readouterr().out
    assert "rewards of 1000 before, 1000 after, 1000 real" in said and "temperature = 0, as given" in said
    whole(files / "run/figures/detection.png")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--after={0}/b.npy"], "--after or --real is given without --before"),
        (["--before={0}/a.npy"], "--before is given without --after"),
        (["--before={0}/a.npy", "--after={0}/none.npy"], "none.npy cannot be read"),
        (["--before={0}/a.npy", "--after={0}/b.npy", "--find=lam"], "λ needs real data"),
        (["--before={0}/a.npy", "--after={0}/b.npy", "--lam=1"], "λ needs real data"),
        (["--before={0}/a.npy", "--after={0}/b.npy", "--find=temperature"], "--k is not among --find"),
        (["--before={0}/a.npy", "--after={0}/b.npy", "--temperature=1e-9"], "span more than 1000 times"),
        (["--find=taste"], "takes one or more of k, temperature and lam"),
        (["--k=2.5"], "--k=2.5: simulated groups"),
        (["--samples=20000"], "--samples=20000 is over --curated=10000"),
        (["--find=temperature", "--temperature=0"], "--temperature=0 is no temperature to be found"),
        (["--level=1"], "takes a number between 0 and 1"),
    ],
)
def test_mistakes_leave_nothing(run, files, tmp_path, given, message):
    said = run(*(text.format(files) for text in given), f"--out={tmp_path / 'run'}")
    assert said and message in said
    assert not (tmp_path / "run").exists()
