"""The experiment on two models: its toy against the closed form, its ring against one model's exact course."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import command

import curated_retraining as cr
from curated_retraining import grids, theory
from curated_retraining.types import Static
from experiments.gmm import RING
from experiments.plane import population
from experiments.two_models import ring, run, toy

SMALL = [
    "--part=ring", "--model=gmm", "--generations=1", "--seeds=2", "--pool=640", "--real=960", "--other=0,0.5",
    "--steps=1", "--first_steps=1",
]  # fmt: skip
NEAR = {"reward_mean_0": 3, "reward_mean_1": 3}  # of rewards of −30 to 0
TASTE = ring.Taste(k=4, temperature=1.0, gamma=10.0, r_min=1.0)


@jax.jit
def play(begin, advance):
    return jax.lax.scan(lambda state, _: advance(state), begin(), length=25)[1]


def test_sampled_gaussians_end_at_the_closed_form(assert_mean):
    """J of p and of q at three strengths: 16 seeds, 24 generations of 2,000 samples."""
    strengths, seeds = [0.3, 0.7, 1.1], np.random.default_rng(0).integers(2**31, size=16)
    cells = grids.grid({"strength": strengths}, seeds)
    begin, advance = grids.programs(jax.tree_util.Partial(toy.make, Static(2000)), cells)
    found = toy.measured({name: np.asarray(values) for name, values in play(begin, advance).items()}, strengths)
    exact = toy.exact(np.array(strengths))
    for name, there in (("alignment", slice(None)), ("influence", slice(1, 2))):
        runs = np.swapaxes(found[name][..., there], 0, 1)  # [seeds, 2, strengths]
        assert_mean(runs, exact[name][:, there])
        assert runs.std(axis=0).max() < 0.2
    assert exact["alignment"][0].argmax() == 1 and (toy.turning() > 0.7).all()  # both turn inside


def test_the_toy_is_what_its_coupling_says():
    """B, of which A = α (I + B)^{−1} comes, bends: its eigenvalues are not negative, so its reward has a best point."""
    bend = (1 - toy.REAL) * np.linalg.inv(toy.COUPLING) - np.eye(2)
    assert np.linalg.eigvalsh(bend).min() > 0
    np.testing.assert_allclose((1 - toy.REAL) * np.linalg.inv(np.eye(2) + bend), toy.COUPLING)


@pytest.mark.parametrize(
    ("curated", "rows"),
    [
        ((0, 0), [[0.25, 0.6, 0.15, 0, 0], [0.25, 0.15, 0.6, 0, 0]]),
        ((1, 0), [[0.25, 0, 0.15, 0.6, 0], [0.25, 0, 0.6, 0.15, 0]]),
        ((1, 1), [[0.25, 0, 0, 0.6, 0.15], [0.25, 0, 0, 0.15, 0.6]]),
    ],
)
def test_shares_of_the_ring(curated, rows):
    np.testing.assert_allclose(ring.shares(3.0, 0.2, curated), rows, atol=1e-6)


def test_exact_courses_of_models_that_take_nothing_from_each_other_are_those_of_one():
    """And curating q then leaves p as it was; with a share of the other's data it costs p."""
    course = ring.exact(TASTE, np.array([0.0, 0.5]), lam=1.0, generations=2)
    reward = cr.distance(jnp.array([2.0, 0.0]))
    plane = population.on_grid(RING, reward, 0.0)
    p = theory.trajectory(plane.p_ref, plane.reward, k=4, lam=1.0, num=2)
    np.testing.assert_allclose(course[0, 1, 0], p @ plane.reward, rtol=1e-4)
    change = ring.influences(course)[..., -1]  # [2, influences, others]
    np.testing.assert_allclose(change[0, 2:, 0], 0, atol=1e-4)
    assert (change[0, 2:, 1] < -1).all() and (change[0, :2] > 1).all()
    np.testing.assert_allclose(change[0], change[1][[2, 3, 0, 1]], atol=1e-3)  # the two sides mirror each other


def python(*arguments):
    command = [sys.executable, "-m", "experiments.two_models", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, env=os.environ)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--temperature=1e-6", "--temperature=1e-06 makes rewards range over"),  # the exact course does not take it
        ("--part=ring", "takes each value once"),
    ],
)
def test_mistakes_are_told_before_anything_is_played(flag, message, tmp_path):
    with command(run) as call:
        said = call("--part=ring", flag, f"--out={tmp_path / 'run'}")
    assert said and message in said and not (tmp_path / "run").exists()


def test_a_run_leaves_numbers_and_figures(tmp_path, assert_twins):
    done = python(*SMALL, f"--out={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "run/ring/metrics.csv").open()))
    assert [(row["p_curated"], row["q_curated"], row["other"], row["seed"]) for row in rows[::2]] == [
        (p, q, other, seed) for p, q in ("00", "10", "01", "11") for other in ("0.0", "0.5") for seed in "01"
    ]
    assert_twins(tmp_path / "run/ring", NEAR)
    assert {"reward_mean_0", "reward_mean_1", "top_mass_1", "share_0_7", "effective_size_1"} <= rows[0].keys()
    assert len({row["reward_mean_0"] for row in rows[::4]}) == 1  # generation 0 of a seed is the same in every cell
    assert {path.name for path in (tmp_path / "run/figures").iterdir()} == {
        "courses.png", "influences.png", "rewards.png",
    }  # fmt: skip
    assert (tmp_path / "run/config.json").exists() and "change of E[r_q]" in done.stdout
    other = python(*SMALL, "--gamma=3", f"--out={tmp_path / 'run'}")
    assert other.returncode == 1 and "gamma=10.0, not 3.0" in other.stderr and "Traceback" not in other.stderr
