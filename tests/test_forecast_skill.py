"""The experiment that judges forecasts: its perfect learner, its errors, and a small run."""

import csv
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.forecast_skill import courses, report
from experiments.forecast_skill.courses import Start

SMALL = [
    "--data=ring",
    "--model=gmm",
    "--generations=2",
    "--seeds=2",
    "--pool=2000",
    "--real=1000",
    "--steps=5",
    "--first_steps=30",
]
NEAR = {"share_0": 0.15}  # at one of 1,000 other seeds it was 0.107


def test_the_perfect_learner_errs_by_sampling_alone(assert_mean, monkeypatch):
    """Share and mean reward of two generations against the forecast; the first is without bias, 64 loops a cell."""
    flags = type("Flags", (), {"generations": 2})
    monkeypatch.setattr(courses, "FLAGS", flags)
    monkeypatch.setattr(courses, "REPEATS", 64)
    rng = np.random.default_rng(0)
    label = jnp.asarray(rng.integers(0, 2, (2, 400)))
    reward = jnp.asarray(label + 0.5 * rng.normal(size=(2, 400)), jnp.float32)
    start = Start(reward, label, reward[:, :100], label[:, :100], jnp.array([jnp.inf, 1.0]))
    foretold = courses.foretell(start, classes=2, k=4, generations=2, temperature=1.0)
    with jax.debug_key_reuse(False):  # which takes the keys of a scan under a map for used ones
        perfect = courses.play_perfectly(start, 2, 2000, 4, 1.0)
    assert perfect.share.shape == (2, 64, 3, 2) and perfect.reward.shape == (2, 64, 3)
    for cell in range(2):
        for generation in (0, 1):
            assert_mean(perfect.share[cell, :, generation], foretold.share[cell, generation])
            assert_mean(perfect.reward[cell, :, generation], foretold.reward[cell, generation])
        after = np.asarray(perfect.share[cell, :, 2])
        far = np.abs(after.mean(axis=0) - foretold.share[cell, 2])
        error = after.std(axis=0, ddof=1) / np.sqrt(64)
        assert np.all(far < 2 / 500 + 4.5 * error) and np.all(error < 0.01)  # a bias of order 1 / 500 curated points
        assert np.all(np.diff(foretold.reward[cell]) > 0)


def test_errors_tell_bias_from_scatter():
    """Two seeds off by 0.1 and 0.3 in the same direction, a learner without fault off by ±0.2 about zero."""
    foretold = np.zeros((2, 3))
    measured = np.array([[0.0, 0.1, 0.1], [0.0, 0.3, 0.3]])
    perfect = np.array([[[0.0, 0.2, 0.2], [0.0, -0.2, -0.2]], [[0.0, -0.2, -0.2], [0.0, 0.2, 0.2]]])
    found = report.errors(measured, foretold, perfect)
    expected = {"error": 0.2, "error_low": 0.1, "error_high": 0.3, "perfect": 0.2, "bias": 0.2, "bias_perfect": 0.0}
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=1e-12)


def test_a_small_run_is_judged(tmp_path, assert_twins):
    command = [sys.executable, "-m", "experiments.forecast_skill", *SMALL]
    done = subprocess.run(
        [*command, f"--out={tmp_path}"], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "skill.csv").open()))
    assert [(row["lam"], row["of"]) for row in rows] == [
        (lam, of) for lam in ("inf", "1") for of in ("share", "reward")
    ]
    small_errors(rows)
    assert_twins(tmp_path / "ring-gmm", NEAR, "foretold.csv")
    assert {path.name for path in (tmp_path / "ring-gmm/figures").iterdir()} == {"shares.png", "reward.png"}
    assert "perfect" in done.stdout and str(tmp_path) in done.stdout


def small_errors(rows):
    """Asserts that each seed's are: sampling errors of 500 curated points are about 0.01 in shares."""
    for row in rows:
        assert 0 < float(row["error_low"]) <= float(row["error"]) <= float(row["error_high"]) < 0.1


def test_what_the_exact_course_does_not_take_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "experiments.forecast_skill", "--gamma=1e4", f"--out={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stderr.startswith("error: --gamma=10000.0 with") and not (tmp_path / "run").exists()
