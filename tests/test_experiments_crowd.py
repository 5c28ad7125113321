"""Crowds and adversaries as commands: folders, exact numbers, and mistakes in one line."""

import csv

import numpy as np
import pytest
from commands import command

from experiments.adversary import annotators, attacked, world
from experiments.adversary import run as adversary
from experiments.crowd import report
from experiments.crowd import run as crowd

SMALL = ["--generations=2", "--seeds=1", "--curated=800", "--real=1200"]
CROWD = [*SMALL, "--q=0.2", "--rewards=2", "--k=inf"]
ADVERSARY = [*SMALL, "--shares=0,1", "--budgets=0,0.2", "--comparisons=200"]
NEAR_CROWD = {"k=inf": {"share_0": 0.07, "basin_1": 0.06, "potential": 0.45}}  # 4.5 standard errors
NEAR_ADVERSARY = {"annotators": {"genuine": 0.7, "covariance": 0.3}, "attacked": {"genuine": 0.7, "gain": 0.4}}


def rows_of(path):
    return list(csv.DictReader(path.open()))


def test_crowds_leave_a_folder_a_k_tables_and_figures(tmp_path, capsys, assert_twins):
    with command(crowd) as run:
        assert run(*CROWD, f"--out={tmp_path}") is None
    rows = rows_of(tmp_path / "k=inf/metrics.csv")
    assert [(row["crowd"], row["generation"]) for row in rows] == [
        (name, generation) for name in ("q=0.2", "M=1", "M=2") for generation in "012"
    ]
    assert {"k", "seed", "share_9", "basin_4", "entropy", "potential"} <= rows[0].keys()
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(report.FIGURES)
    for part, near in NEAR_CROWD.items():
        assert_twins(tmp_path / part, near)
    said = capsys.readouterr().out
    assert (tmp_path / "k=inf/config.json").exists() and "share of the second basin, t = 2" in said


def test_basins_end_at_their_shares_only_at_infinite_k():
    np.testing.assert_allclose(report.basin_limit(0.2, np.inf), [0.8, 0.2], rtol=1e-5)
    np.testing.assert_allclose(report.basin_limit(0.2, 2), [1, 0], atol=1e-5)
    assert 0.05 < report.basin_limit(0.3, 4)[1] < 0.2


def test_adversaries_leave_two_parts_tables_and_figures(tmp_path, capsys, assert_twins):
    with command(adversary) as run:
        assert run(*ADVERSARY, f"--out={tmp_path}") is None
    people, learnt = (rows_of(tmp_path / part / "metrics.csv") for part in ("annotators", "attacked"))
    assert [(row["adversary"], row["share"]) for row in people[::3]] == [
        (kind, share) for kind in annotators.KINDS for share in ("0.0", "1.0")
    ]
    assert [(row["attack"], row["budget"]) for row in learnt[::3]] == [
        (kind, budget) for kind in attacked.KINDS for budget in ("0.0", "0.2")
    ]
    assert {"genuine", "covariance", "gain", "entropy"} <= people[0].keys() & learnt[0].keys()
    for first, other in ((people[0], people[6]), (learnt[0], learnt[6])):  # without adversaries all kinds are one
        assert first["genuine"] == other["genuine"] and first["covariance"] == other["covariance"]
    assert float(people[3]["covariance"]) < 0 < float(people[0]["covariance"])
    for part, near in NEAR_ADVERSARY.items():
        assert_twins(tmp_path / part, near)
    assert len(list((tmp_path / "figures").iterdir())) == 5
    assert "exact: E[exp r] rose or fell with the sign of the covariance" in capsys.readouterr().out


def test_exact_covariances_are_the_exact_changes():
    """float32 sums over 12,544 points: E[e^r] is good to 1e-5 of itself, here up to 10."""
    plane = world.on_grid(2.0)
    exact = annotators.courses(plane, [0.0, 1.0], k=3, generations=2)
    np.testing.assert_allclose(np.diff(exact["genuine"]), exact["covariance"][:, :-1], atol=2e-4)
    weights = 2 * np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    exact = attacked.courses(plane, weights, generations=2)
    np.testing.assert_allclose(np.diff(exact["genuine"]), exact["gain"][:, :-1], atol=2e-4)
    assert exact["gain"].min() < -0.1 and exact["gain"].max() > 0.1


def test_a_gradient_does_more_than_chance():
    """The exact E[e^r] after one generation, which the attacker wants low: a tenth of 400 labels, each of two seeds."""
    weights = attacked.learn([0.0, 0.1], gamma=2.0, comparisons=400, horizon=1, seeds=[0, 1])
    genuine = attacked.courses(world.on_grid(2.0), weights, generations=1)["genuine"][:, 1].reshape(2, 2, 2)
    (honest, by_gradient), (same, by_chance) = genuine  # [kind, budget, seed]
    np.testing.assert_array_equal(honest, same)
    assert (by_gradient < by_chance - 0.3).all() and (by_chance < honest).all()


@pytest.mark.parametrize(
    ("module", "given", "named"),
    [
        (crowd, "--q=0", "--q"),
        (crowd, "--k=1", "--k"),
        (crowd, "--rewards=6", "--rewards=6"),
        (crowd, "--temperature=0", "--temperature"),
        (crowd, "--lapse=1", "--lapse"),
        (crowd, "--gamma=1e4", "--gamma=10000.0"),
        (crowd, "--gamma=1e38", "--gamma=1e+38"),
        (adversary, "--shares=2", "--shares"),
        (adversary, "--budgets=x", "--budgets"),
        (adversary, "--gamma=0", "--gamma"),
        (adversary, "--k=1", "--k=1"),
    ],
)
def test_bad_flags_are_told_in_a_line_and_leave_nothing(tmp_path, module, given, named):
    with command(module) as run:
        said = run(f"--out={tmp_path / 'run'}", given)
    assert said is not None and named in said and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
