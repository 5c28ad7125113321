"""The forecast as a user runs it: files in, tables and a figure out, mistakes in one line that leave nothing behind."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import command
from PIL import Image

from curated_retraining import theory
from experiments.forecast import __main__ as forecast

RNG = np.random.default_rng(0)
LABEL = np.repeat([0, 1, 2], [30, 20, 10])
REWARD = RNG.normal(size=60) + LABEL
REAL_LABEL = np.array([0, 0, 1, 3])
REAL = np.array([0.0, 0.5, -0.5, 1.0])
SMALL = ["--lam=inf,0.5", "--generations=3", "--bootstrap=0"]


@pytest.fixture(scope="module")
def run():
    with command(forecast) as call:
        yield call


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "r.npy", REWARD)
    np.save(folder / "y.npy", LABEL)
    np.save(folder / "real_r.npy", REAL)
    np.save(folder / "real_y.npy", REAL_LABEL)
    return folder


@pytest.fixture(scope="module")
def finished(run, files, tmp_path_factory):
    """A small forecast with bands and a floor: its folder and flags."""
    out = tmp_path_factory.mktemp("runs") / "deep" / "forecast"
    inputs = [f"--rewards={files / 'r.npy'}", f"--labels={files / 'y.npy'}", f"--out={out}"]
    given = [*inputs, "--lam=inf,0.5", "--generations=3", "--bootstrap=8", "--keep=0:0.2"]
    assert run(*given) is None
    return out, given


def read(path):
    return list(csv.DictReader(path.open()))


def test_the_numbers_are_the_exact_course(finished):
    out, _ = finished
    rows = read(out / "forecast.csv")
    assert [(row["lam"], row["generation"]) for row in rows] == [(lam, t) for lam in ("inf", "0.5") for t in "0123"]
    with jax.enable_x64(True):
        r, lams = jnp.asarray(REWARD), jnp.array([jnp.inf, 0.5])
        of = jax.jit(jax.vmap(lambda lam: theory.trajectory(jnp.full(60, 1 / 60), r, k=4, lam=lam, num=3)))
        course = np.asarray(of(lams)).reshape(8, 60)
    share = np.stack([course @ (c == LABEL) for c in range(3)], axis=1)
    expected = {
        "reward_mean": course @ REWARD,
        "exp_reward_mean": course @ np.exp(REWARD),
        "entropy": -np.sum(share * np.log(share), axis=1),
        "effective_classes": np.exp(-np.sum(share * np.log(share), axis=1)),
        "kl": np.sum(course * np.log(60 * course), axis=1),
    } | {f"share_{c}": share[:, c] for c in range(3)}
    assert set(rows[0]) == {"lam", "generation"} | {
        f"{name}{end}" for name in expected for end in ("", "_low", "_high")
    }
    for name, values in expected.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-8, atol=1e-12)
        low, high = (np.array([float(row[f"{name}_{end}"]) for row in rows]) for end in ("low", "high"))
        assert (low <= high).all() and (low < high).any()


def test_classes_the_winner_and_the_required_share_are_told(finished):
    out, _ = finished
    rows = read(out / "classes.csv")
    assert [(row["lam"], row["class"]) for row in rows] == [(lam, c) for lam in ("inf", "0.5") for c in "012"]
    best = LABEL[REWARD.argmax()]
    assert [float(row["limit_share"]) for row in rows[:3]] == [float(c == best) for c in range(3)]
    assert [row["winner"] for row in rows[:3]] == [str(int(c == best)) for c in range(3)]
    said = (out / "forecast.txt").read_text()
    assert (
        "60 samples and real data like them; K = 4, temperature 1; in brackets the 90 % band over 8 resamples" in said
    )
    assert f"predicted to win: class {best}, with 1.000" in said
    assert "keeps class 0 at 0.2 or more in generations 1 to 3" in said
    config = json.loads((out / "config.json").read_text())["flags"]
    assert config["k"] == 4 and config["keep"] == "0:0.2" and len(config["label_sha256"]) == 64
    with Image.open(out / "figures/forecast.png") as image:
        image.load()
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {
        ".lock", "config.json", "forecast.csv", "classes.csv", "forecast.txt", "figures/forecast.png",
    }  # fmt: skip


def test_the_same_command_gives_the_same_bytes_and_another_is_refused(run, finished, tmp_path):
    out, given = finished
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run(*given) is None
    assert "holds a run with level=0.9, not 0.5" in run(*given, "--level=0.5")
    with jax.default_prng_impl("rbg"):
        assert 'holds a run with prng="threefry2x32", not "rbg"' in run(*given)
    np.save(tmp_path / "r.npy", 2 * REWARD)
    assert "holds a run with" in run(*given, f"--rewards={tmp_path / 'r.npy'}")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_only_differences_of_rewards_matter_to_choices(run, files, tmp_path):
    """Rewards 500 higher, whose exponential float32 does not hold: E[r] is 500 higher, shares are the same."""
    np.save(tmp_path / "high.npy", REWARD + 500)
    for name, file in (("low", files / "r.npy"), ("high", tmp_path / "high.npy")):
        flags = [f"--rewards={file}", f"--labels={files / 'y.npy'}", f"--out={tmp_path / name}", *SMALL]
        assert run(*flags, "--bootstrap=2") is None
    low, high = (read(tmp_path / name / "forecast.csv") for name in ("low", "high"))
    for name in ("share_0", "kl", "share_2_low"):
        # the sum rounds to 2^-44, and float32, of which the bands are, to 1e-7
        of = [np.array([float(row[name]) for row in rows]) for rows in (low, high)]
        np.testing.assert_allclose(*of, rtol=1e-5, atol=1e-9)
    for end in ("", "_low", "_high"):
        of = [np.array([float(row[f"reward_mean{end}"]) for row in rows]) for rows in (low, high)]
        np.testing.assert_allclose(of[0] + 500, of[1], rtol=1e-7)
        of = [np.log([float(row[f"exp_reward_mean{end}"]) for row in rows]) for rows in (low, high)]
        np.testing.assert_allclose(of[0] + 500, of[1], rtol=1e-7)


def test_real_data_of_their_own_bring_their_classes(run, files, tmp_path):
    model = [f"--rewards={files / 'r.npy'}", f"--labels={files / 'y.npy'}"]
    real = [f"--real_rewards={files / 'real_r.npy'}", f"--real_labels={files / 'real_y.npy'}"]
    assert run(*model, *real, *SMALL, "--lam=0", f"--out={tmp_path / 'run'}") is None
    rows = read(tmp_path / "run/forecast.csv")  # λ = 0: all real data from the first retraining on
    np.testing.assert_allclose([float(rows[0][f"share_{c}"]) for c in range(4)], [1 / 2, 1 / 3, 1 / 6, 0])
    np.testing.assert_allclose([float(rows[1][f"share_{c}"]) for c in range(4)], [1 / 2, 1 / 4, 0, 1 / 4])
    assert "60 samples and 4 of real data" in (tmp_path / "run/forecast.txt").read_text()


def test_groups_may_be_infinite(run, files, tmp_path):
    """Then a generation tilts by e^r: p_t is in proportion to e^(t r)."""
    out = tmp_path / "run"
    assert run(f"--rewards={files / 'r.npy'}", *SMALL, "--lam=inf", "--k=inf", f"--out={out}") is None
    tilted = [np.exp(t * REWARD) @ REWARD / np.exp(t * REWARD).sum() for t in range(4)]
    np.testing.assert_allclose([float(row["reward_mean"]) for row in read(out / "forecast.csv")], tilted, rtol=1e-8)
    assert "K = inf, temperature 1" in (out / "forecast.txt").read_text()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--rewards="], "rewards"),
        (["--lam=-1"], "lam"),
        (["--k=1"], "k"),
        (["--seed=99999999999999999999"], "seed"),
        (["--bootstrap=1"], "bootstrap"),
        (["--level=1"], "level"),
        (["--keep=0"], "keep"),
        (["--keep=0:1.5"], "keep"),
        (["--keep=3:0.1"], "--keep=3:0.1 is of no class in the labels: take one of 0 to 2"),
        (["--entropy_floor=1.2"], "--entropy_floor=1.2"),
        (["--real_labels={y}"], "--real_labels is given without --real_rewards"),
        (["--real_rewards={r}"], "one of --labels and --real_labels is given"),
        (["--real_rewards={r}", "--real_labels={real_y}"], "has 4 labels for the 60 rewards"),
        (["--out=/proc/none"], "/proc/none"),
    ],
)
def test_bad_flags_are_told_and_leave_nothing(run, files, tmp_path, given, named):
    places = {name: files / f"{name}.npy" for name in ("r", "y", "real_y")}
    inputs = [f"--rewards={places['r']}", f"--labels={places['y']}", f"--out={tmp_path / 'out'}"]
    assert named in run(*inputs, *SMALL, *(flag.format(**places) for flag in given))
    assert not (tmp_path / "out").exists()


def test_a_mistake_ends_a_process_without_a_traceback(tmp_path):
    command = [
        sys.executable,
        "-m",
        "experiments.forecast",
        f"--rewards={tmp_path / 'none.npy'}",
        f"--out={tmp_path / 'o'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 1 and not (tmp_path / "o").exists()
    assert done.stderr.strip() == f"error: {tmp_path / 'none.npy'} cannot be read: No such file or directory"
