"""Cyclic, moving and learned preferences as a user runs them, at tiny sizes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import grids, theory
from curated_retraining.types import Static
from experiments import cyclic

ROOT = Path(__file__).parent.parent
TINY = ["--generations=2", "--seeds=2"]
SMALL = {
    "cyclic": [*TINY, "--model=finite", "--lam=inf,1", "--pool=2000", "--real=300"],
    "moving": [*TINY, "--taste=drifting", "--lam=1", "--pool=1600", "--real=400", "--period=4", "--model=finite"],
    "learned_reward": [
        *TINY,
        "--pool=256",
        "--real=240",
        "--comparisons=16",
        "--steps=5",
        "--members=2",
        "--proxy=truth",
        "--proxy=ensemble",
    ],
}
FIGURES = {
    "cyclic": ["finite/figures/ternary.png"],
    "moving": ["drifting/figures/curves.png", "drifting/figures/paths.png"],
    "learned_reward": ["figures/lam=inf.png"],
}
NEAR = {  # by the part that has an exact course: how near its means over two seeds are, 4.5 standard errors
    "cyclic": {"finite": {"share_0": 0.1, "share_1": 0.1}},
    "moving": {"drifting": {"taste_0": 1e-6, "population_1": 0.15}},
    "learned_reward": {"truth": {"true_mean": 0.5}},
}


def start(name, out, *flags):
    """A process of `python -m experiments.name`."""
    flags = [*SMALL[name], "--compilation_cache=", f"--out={out}", *flags]
    command = [sys.executable, "-m", f"experiments.{name}", *flags]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """By name, the folder of a small run of each and what it printed."""
    folder = tmp_path_factory.mktemp("runs")
    done = {}
    for name in SMALL:
        process = start(name, folder / name)
        said, wrong = process.communicate(timeout=300)
        assert process.returncode == 0, wrong
        done[name] = (folder / name, said)
    return done


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").open()))


@pytest.mark.parametrize("name", SMALL)
def test_a_run_leaves_numbers_checkpoints_and_figures(finished, name, assert_twins):
    out, said = finished[name]
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.png")) == FIGURES[name]
    assert f"results in {out}" in said and "exact" in said
    parts = [path.parent for path in out.rglob("config.json")]
    assert parts
    for part in parts:
        flags = json.loads((part / "config.json").read_text())["flags"]
        assert flags["seeds"] == 2 and {flag[2:].split("=")[0] for flag in SMALL[name]} <= flags.keys()
        assert {step.name for step in (part / "checkpoints").iterdir()} >= {"0", "1", "2"}
        assert [row["generation"] for row in rows(part)][:3] == ["0", "1", "2"]
    for part, near in NEAR[name].items():
        assert_twins(out / part, near)


def test_rock_paper_scissors_prints_the_replicator_beside_what_it_measured(finished):
    """By hand: .5 (1 + .2 − .3) = .45 and .45 (1 + .16 − .39) = .3465."""
    out, said = finished["cyclic"]
    (line,) = (line for line in said.splitlines() if "λ=inf exact" in line)
    numbers = [float(number) for number in line.split()[2:]]
    np.testing.assert_allclose(numbers, [0.5, 0.45, 0.3465], atol=6e-4)
    share = np.array([[float(row[f"share_{kind}"]) for kind in range(3)] for row in rows(out / "finite")])
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-5)


def test_drifting_people_turn_once_round_in_a_period(finished):
    found = rows(finished["moving"][0] / "drifting")
    taste = np.array([[float(row["taste_0"]), float(row["taste_1"])] for row in found]).reshape(2, 3, 2)
    np.testing.assert_allclose(taste, [[[1, 0], [0, 1], [-1, 0]]] * 2, atol=1e-6)
    for row in found:
        seen = float(row["population_0"]) * float(row["taste_0"]) + float(row["population_1"]) * float(row["taste_1"])
        assert abs(float(row["reward_mean"]) - seen) < 1e-5


def test_curation_by_truth_has_no_gap_and_a_lower_bound_is_lower(finished):
    out, said = finished["learned_reward"]
    for row in rows(out / "truth"):
        assert float(row["gap"]) == 0 and abs(float(row["correlation"]) - 1) < 1e-5
    plain, bound = (
        [row for row in rows(out / "ensemble") if row["generation"] == "0" and row["pessimism"] == c]
        for c in ("0.0", "3.0")
    )
    for one, other in zip(plain, bound, strict=True):  # a seed's pool of generation 0 is the same
        assert one["true_mean"] == other["true_mean"] and float(one["reward_mean"]) > float(other["reward_mean"])
        assert abs(float(one["reward_mean"]) - float(one["true_mean"]) - float(one["gap"])) < 1e-5
    assert len(plain) == 2 and "no proxy to exact" in said


@pytest.mark.statistical
def test_one_generation_of_duels_is_the_exact_one():
    """n = 20,000 groups of 3 with strength 0.6: shares within 5 of their standard errors."""
    shares, k, groups = jnp.array([0.5, 0.3, 0.2]), 3, 20_000
    loop = cyclic.make(Static(cyclic.Sizes("finite", k, k * groups, 60)), shares, 0.6, lam=jnp.inf)

    @jax.jit
    def played(key):
        start_key, loop_key = jax.random.split(key)
        return loop.step(loop_key, loop.start(start_key))[0].model

    preference = cyclic.odds(0.6, *(jnp.asarray(index) for index in np.indices((3, 3))))
    exact = np.asarray(shares * theory.pairwise_ratio(shares, preference, k))
    assert np.abs(exact - shares).max() > 0.02
    error = np.sqrt(exact * (1 - exact) / groups)
    assert (np.abs(played(jax.random.key(0)) - exact) < 5 * error).all()
    assert isinstance(loop, grids.Loop)


@pytest.mark.parametrize(
    ("name", "flag", "said"),
    [
        ("cyclic", "--shares=0.5,0.5,0.5", "shares"),
        ("cyclic", "--pool=401", "--pool=401"),
        ("moving", "--weight=1,1", "weight"),
        ("learned_reward", "--members=1", "members"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(tmp_path, name, flag, said):
    process = start(name, tmp_path / "run", flag)
    _, wrong = process.communicate(timeout=300)
    assert process.returncode != 0 and "Traceback" not in wrong
    assert said in "".join(wrong.strip().splitlines()[-2:])
    assert not (tmp_path / "run").exists()
