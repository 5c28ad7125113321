"""The experiments as a user runs them: flags in, a folder out, mistakes in one line."""

import csv
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app
from commands import command

import curated_retraining as cr
from experiments.gmm import RING
from experiments.moons import MOONS
from experiments.plane import models, population, report, rewards
from experiments.plane import run as plane

SMALL = ["--model=gmm", "--generations=2", "--seeds=2", "--pool=1600", "--real=1200", "--steps=3", "--first_steps=5"]
NEAR = {"top_mass": 0.13, "share_0": 0.13}  # 4.5 standard errors of two seeds' means
ONCE = ["generation_zero", "generation"]  # the programs of a run, whatever the number of generations


def python(*arguments, **environment):
    command = [sys.executable, "-m", *arguments]
    where = Path(__file__).parent.parent
    return subprocess.run(command, capture_output=True, text=True, cwd=where, env=os.environ | environment)


@pytest.mark.parametrize("name", ["gmm", "images"])
def test_help_lists_the_flags(name):
    said = python(f"experiments.{name}", "--help").stdout
    assert f"python -m experiments.{name}" in said
    for flag in ("--lam=", "--model=", "--gamma=", "--out=", "--compilation_cache="):
        assert f"\n  {flag}" in said, said


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run of the Gaussian mixture, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "gmm"
    cache = f"--compilation_cache={out.parent / 'cache'}"
    done = python("experiments.gmm", *SMALL, f"--out={out}", cache, JAX_ENABLE_COMPILATION_CACHE="true")
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_a_run_leaves_numbers_and_figures(finished, assert_twins):
    out, said = finished
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert [(row["lam"], row["seed"], row["generation"]) for row in rows] == [
        (lam, seed, generation) for lam in ("inf", "1") for seed in "01" for generation in "012"
    ]
    assert {"reward_mean", "exp_reward_mean", "top_mass", "share_7", "entropy", "kl", "sliced_w2"} <= rows[0].keys()
    for first, second in ((rows[0], rows[6]), (rows[3], rows[9])):  # generation 0 is the same model under every λ
        assert first["reward_mean"] == second["reward_mean"]
    assert sorted(path.name for path in (out / "figures").iterdir()) == [
        "curves.png", "densities.png", "frames", "generations.gif", "shares.png",
    ]  # fmt: skip
    frames = {f"lam={lam}/t=000{t}.png" for lam in ("inf", "1") for t in range(3)}
    assert {str(path.relative_to(out / "figures/frames")) for path in out.rglob("frames/*/*")} == frames
    assert_twins(out, NEAR)
    config = json.loads((out / "config.json").read_text())
    assert config["flags"]["k"] == 4 and config["flags"]["gamma"] == 10.0 and config["flags"]["pool"] == 1600
    assert "top level mass" in said and str(out) in said
    assert "compilation_cache" not in config["flags"] and list((out.parent / "cache").iterdir())
    assert config["flags"]["prng"] == "threefry2x32"
    assert re.findall("compiled (\\w+) in", said) in (ONCE, ONCE[::-1])


@pytest.mark.long
def test_other_random_numbers_are_another_run(finished, tmp_path):
    """Another kind draws other real data: rewards differ, and are the same each time."""
    rewards = set()
    for path in ("first", "second"):
        out = tmp_path / path
        done = python("experiments.gmm", *SMALL, "--generations=1", "--prng=rbg", f"--out={out}")
        assert done.returncode == 0, done.stderr
        rewards.add((out / "metrics.csv").read_text())
    assert len(rewards) == 1 and rewards != {(finished[0] / "metrics.csv").read_text()}


def test_the_same_command_finds_itself_complete_and_another_is_refused(finished):
    out, _ = finished
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = python("experiments.gmm", *SMALL, f"--out={out}")
    assert again.returncode == 0 and "complete" in again.stdout
    other = python("experiments.gmm", *SMALL, "--gamma=3", f"--out={out}")
    assert other.returncode == 1 and "gamma=10.0, not 3.0" in other.stderr and "Traceback" not in other.stderr
    of_gmm = ["--target=2,0", "--r_min=1"]  # what moons has other defaults for
    moons = python("experiments.moons", *SMALL, *of_gmm, f"--out={out}")
    assert moons.returncode == 1 and 'experiment="gmm", not "moons"' in moons.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_disk_that_takes_no_figures_is_told_in_one_line(finished, tmp_path):
    """And a terminal without Greek letters gets the table all the same."""
    out = shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(out / "figures")
    (out / "figures").touch()
    done = python("experiments.gmm", *SMALL, f"--out={out}", PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and "?=1 exact" in done.stdout
    assert "figures cannot be written (File exists)" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def called():
    """`experiments.gmm` in this process."""
    define, main = functools.partial(plane.define, "gmm", generations=8), functools.partial(plane.main, RING)
    with command(SimpleNamespace(define=define, main=main)) as call:
        yield call


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--reward=fame"], "reward"),
        (["--k=1"], "k"),
        (["--lam=1,-1"], "lam"),
        (["--out=/proc/none"], "/proc/none"),
        (["--gamma=1e4"], "gamma"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(called, tmp_path, flags, named):
    assert named in called(*SMALL, f"--out={tmp_path / 'run'}", *flags)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--pool=402", "--temperature=-1"])
def test_a_process_tells_them_in_one_line(tmp_path, flag):
    wrong = python("experiments.gmm", *SMALL, f"--out={tmp_path / 'run'}", flag)
    assert wrong.returncode == 1 and "Traceback" not in wrong.stderr
    (told,) = wrong.stderr.strip().splitlines()
    assert told.startswith("error: ") and flag[2:6] in told
    assert not (tmp_path / "run").exists()


@pytest.mark.statistical
@pytest.mark.parametrize(("target", "labels"), [(RING, 8), (MOONS, 2)])
def test_targets_hold_their_mass_and_label_it_evenly(target, labels):
    x = target.draw(jax.random.key(0), 4000).x
    x0, x1, y0, y1 = target.extent
    assert ((x > jnp.array([[x0, y0]])) & (x < jnp.array([[x1, y1]]))).all(axis=1).mean() > 0.999
    share = np.bincount(target.label(x), minlength=labels) / 4000
    error = np.sqrt(1 / labels * (1 - 1 / labels) / 4000)  # of one share, 4,000 points
    assert len(target.names) == labels and np.abs(share - 1 / labels).max() < 4.5 * error


POOL = 20_000


@functools.cache
def exact_loop():
    """The exact top mass of 3 generations on a part of the grid, and what measures it in a loop of finite models."""
    reward = cr.distance(jnp.array([2.0, 0.0]))
    plane = population.on_grid(RING, reward, 0.0)
    part = jax.tree.map(lambda each: each[::7] if np.ndim(each) else each, plane)
    part = part._replace(p_ref=part.p_ref / part.p_ref.sum())
    (course,), _ = population.course(part, k=4, lams=np.array([1.0]), temperature=1.0, generations=3)
    model, mixing, real = cr.finite(part.x), cr.with_real(1.0), cr.Dataset(part.x, part.p_ref)
    step = cr.retraining(
        model, reward=reward, curate=cr.k_way(4, cr.luce()), mixing=mixing, pool_size=POOL,
        metrics=cr.metrics.top_mass(0.0),
    )  # fmt: skip

    @jax.jit
    def measured(start_key, loop_key):
        state = cr.start(start_key, model, mixing, real, slot=POOL // 4)
        return cr.run(loop_key, state, step, 4)[1]["top_mass"]

    return population.moments(part, course, 8)["top_mass"], measured


@pytest.mark.statistical
def test_the_exact_course_agrees_with_a_loop_of_exact_models():
    """A finite model on the grid itself, 20,000 samples: 5σ of the sampling that each generation adds."""
    exact, measured = exact_loop()
    error = np.sqrt(exact * (1 - exact) * (1 / POOL + 4 / POOL * np.arange(4) * 2))  # errors grow at most 2-fold in all
    assert (np.abs(measured(jax.random.key(0), jax.random.key(1)) - exact) < 5 * error).all()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rewards_that_float32_does_not_hold_are_refused(temperature):
    reward = cr.distance(jnp.array([2.0, 0.0]), gamma=3e38)
    with pytest.raises(app.UsageError, match="not finite with --gamma=3e"):
        population.require_range(population.on_grid(RING, reward, 0.0), 3e38, temperature)


def test_the_classifier_knows_its_classes():
    points = MOONS.draw(jax.random.key(3), 2000)
    logits = jax.jit(rewards.classifier, static_argnums=0)(MOONS)(points.x)
    assert (logits.argmax(axis=1) == MOONS.label(points.x)).mean() > 0.98


@pytest.mark.parametrize("name", list(rewards.GAMMA))
def test_every_reward_has_its_top_level(name):
    given = {"gamma": rewards.GAMMA[name], "r_min": 0.5, "liked": jnp.array([0.0, 1.0]), "label": 0}
    plane = population.on_grid(MOONS, rewards.build(name, MOONS, **given), rewards.EDGE[name] * given["gamma"])
    top = plane.reward >= plane.top_level
    assert plane.p_ref @ top.astype(float) > 0 and top.all() == (name == "none")


def test_every_model_of_a_name_shares_its_state():
    for name in models.SIZES:
        real = RING.draw(jax.random.key(0), 50)
        states = [jax.eval_shape(models.build(name, RING, steps).init, jax.random.key(1), real.x) for steps in (1, 2)]
        assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])


def test_bounds_hold_for_the_exact_course():
    plane = population.on_grid(RING, cr.distance(jnp.array([2.0, 0.0])), 0.0)
    lams = np.array([0.2, 1.0, np.inf])
    course, _ = population.course(plane, k=4, lams=lams, temperature=1.0, generations=6)
    exact, bounds = population.moments(plane, course, 8), report.bounds(plane, course, lams, 4)
    (_, gain), (_, floor) = bounds["exp_reward_mean"]
    ((_, ceiling),) = bounds["kl"]
    mean = np.asarray(exact["exp_reward_mean"])
    assert (mean[:, 1:] >= gain[:, 1:] - 1e-5).all() and (mean[:, 1:] >= floor - 1e-5).all()  # float32 sums of 12,544
    assert (exact["kl"] <= ceiling + 1e-5).all() and np.isfinite(ceiling[:, 0]).tolist() == [True, False, False]
