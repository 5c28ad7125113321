"""Strategies and mitigations compared: numbers by hand, and the commands at tiny sizes."""

import csv

import jax
import numpy as np
import pytest
from commands import command

import curated_retraining as cr
from curated_retraining import data
from experiments.compared import numbers, ring
from experiments.mitigation import __main__ as mitigation
from experiments.mitigation import judge
from experiments.strategies import __main__ as strategies
from experiments.strategies.rules import rules

TINY = ["--generations=2", "--seeds=2", "--pool=1024", "--real=800"]
STRATEGIES = [*TINY, "--sizes=2", "--nodenoising"]
NEAR = {"share_0": 0.2, "reward_mean": 0.5}


def test_numbers_of_a_course_by_hand():
    share = np.full((3, 8), 1 / 8)
    share[1:] = [[0.5, 0.1, 0.1, 0.05, 0.05, 0.1, 0.05, 0.05], [0.9, 0.1, 0, 0, 0, 0, 0, 0]]
    course = {
        "reward_mean": np.array([-1.0, 0.0, 2.0]),
        "entropy": np.array([2.0, 1.0, 0.5]),  # half is no collapse
        "spread": np.array([0.4, 0.4, 0.1]),
        "share": share,
    }
    found = numbers.summary(course, 1.5)
    expected = {"gain": 2, "entropy": 0.25, "minority": 0, "spread": 0.25, "collapse": 2, "drift": 0.775, "moving": 0.4}
    np.testing.assert_allclose([found[name] for name in expected], [*expected.values()])
    assert np.isnan(numbers.summary({name: values[:2] for name, values in course.items()}, 1.5)["collapse"])


@pytest.mark.statistical
def test_the_real_distribution_has_even_modes_and_the_measure_agrees_with_a_sample():
    """20,000 points: 5 standard errors."""
    reward = ring.liking(1.0, 1.0)
    plane = ring.real(reward)
    exact = jax.jit(ring.moments)(plane, plane.p_ref)
    np.testing.assert_allclose(exact["share"], 1 / 8, atol=2e-3)  # of the grid
    x = cr.ring(jax.random.key(0), 20_000).x
    away = np.asarray(x - data.ring_means()[data.nearest_mode(x)])
    for draws, mean in ((jax.jit(reward)(x), exact["reward_mean"]), ((away**2).sum(axis=1), exact["spread"] ** 2)):
        assert abs(np.mean(draws) - mean) < 5 * np.std(draws) / np.sqrt(20_000)


def test_every_rule_keeps_the_shape_and_its_share_of_the_pool():
    """Of 64 points; ranked by the model, those of column 2 that are best."""
    pool = jax.random.normal(jax.random.key(0), (64, 2))
    reward = jax.random.normal(jax.random.key(1), (64, 3))
    every = rules([2, 8], 4, temperature=1.0, crowd=0.5, least=0.0, reward_range=20.0)
    kept = {
        "no curation": 64,
        "K = 2": 32,
        "K = 8": 8,
        "best of 4": 16,
        "top 1/4": 16,
        "likeliest 1/4": 16,
        "crowd": 16,
    }
    curate = jax.jit(lambda key, pool, reward: [rule.curate(key, pool, reward) for rule in every])
    with jax.debug_key_reuse(False):  # one key for all of them
        curated = curate(jax.random.key(2), pool, reward)
    for rule, (x, weight) in zip(every, curated, strict=True):
        assert x.shape == (64, 2) and weight.shape == (64,)
        np.testing.assert_allclose(weight.sum(), 1, rtol=1e-5)
        assert rule.name not in kept or (weight > 0).sum() == kept[rule.name], rule.name
        if rule.name == "likeliest 1/4":
            np.testing.assert_array_equal(np.flatnonzero(weight), np.sort(np.argsort(-reward[:, 2])[:16]))


def test_the_judge_is_too_sure_until_it_is_calibrated():
    found = judge.calibrated(0.5, 4.0)
    assert abs(found.temperature - 4) < 0.2 and found.errors[0] > 0.4 > 0.02 > found.errors[1]


@pytest.mark.long
def test_strategies_leave_numbers_a_table_and_a_figure(tmp_path, capsys, assert_twins):
    with command(strategies) as run:
        out = tmp_path / "run"
        assert run(*STRATEGIES, f"--out={out}") is None
        said = capsys.readouterr().out
        assert "pure loop, λ = ∞" in said and str(out) in said
        for bad, named in (
            (["--pool=258"], "--pool=258"),
            (["--sizes=1.5"], "sizes"),
            (["--gamma=0", "--bonus=0"], "--gamma=0"),
        ):
            told = run(*TINY, *bad, f"--out={tmp_path / 'bad'}")
            assert named in told and len(told.splitlines()) == 1 and not (tmp_path / "bad").exists()
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert len(rows) == 8 * 2 * 2 * 3 and {row["strategy"] for row in rows} >= {"K = 2", "K = ∞", "crowd", "threshold"}
    assert_twins(out, NEAR)
    table = {row["name"]: row for row in csv.DictReader((out / "strategies_lam=1.csv").open())}
    assert float(table["no curation"]["gain_exact"]) == pytest.approx(0, abs=1e-4)
    assert float(table["top 1/4"]["gain_exact"]) > float(table["K = 2"]["gain_exact"]) > 0.1
    assert abs(float(table["K = 2"]["gain"]) - float(table["K = 2"]["gain_exact"])) < 0.35  # pools of 256, two seeds
    assert (out / "figures/strategies.png").exists() and (out / "config.json").exists()


def test_mitigations_leave_numbers_a_table_and_a_figure(tmp_path, capsys, assert_twins):
    few = ["--quotas=0.25", "--mode_bonuses=1", "--point_bonuses=0.5", "--exponents=0.5", "--floors=0.7", "--lam=inf"]
    with command(mitigation) as run:
        out = tmp_path / "run"
        assert run(*TINY, *few, f"--out={out}") is None
        said = capsys.readouterr().out
        assert "calibration error" in said and str(out) in said
        for bad, named in (
            (["--gamma=1e38"], "--gamma=1e+38"),
            (["--sharpness=1e38"], "--sharpness=1e+38"),
            (["--sharpness=2000"], "--sharpness=2000"),
            (["--lam=inf,1"], "lam"),
            (["--quotas=1"], "quotas"),
            (["--temperature=0"], "temperature"),
            (["--pool=1022"], "--pool"),
        ):
            told = run(*TINY, *few, *bad, f"--out={tmp_path / 'bad'}")
            assert named in told and not (tmp_path / "bad").exists()
    assert_twins(out, {})
    table = {row["name"]: row for row in csv.DictReader((out / "mitigation.csv").open())}
    plain = table["no mitigation"]
    for name, row in table.items():
        if name.startswith("bonus to unlikely"):
            assert np.isnan(float(row["lost_exact"]))  # its mass leaves every grid
        elif name != "no mitigation":
            assert float(row["lost_exact"]) < float(plain["lost_exact"]), name  # each saves entropy
    even = (0.25, *[0.75 / 7] * 7)
    kept = -np.sum(np.array(even) * np.log(even)) / np.log(8)
    (quota,) = [row for name, row in table.items() if name.startswith("quota")]
    assert float(quota["lost_exact"]) == pytest.approx(1 - kept, abs=2e-3)
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    dosed = [row for row in rows if row["family"].startswith("real data")]
    assert all(0 < float(row["lam"]) < np.inf for row in dosed) and len({row["lam"] for row in dosed}) == 2
    assert (out / "figures/tradeoff.png").exists()
