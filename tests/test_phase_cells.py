"""The cells of phase diagrams: exact ones against a plain loop, the grids that they lie on, and what is measured."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app

import curated_retraining as cr
from curated_retraining import theory
from experiments.gmm import RING
from experiments.phase import axes, exact, report, trained
from experiments.phase.exact import Cells
from experiments.phase.levels import Levels, merge
from experiments.phase.trained import Learner, Place
from experiments.plane import population

FIXED = {"lam": 0.25, "k": 4.0, "gamma": 10.0, "temperature": 1.0}
MIB = 2**20
RNG = np.random.default_rng(0)
FEW = Levels(
    jnp.asarray(RNG.dirichlet(np.ones(7)), jnp.float32),
    jnp.asarray(-3 * RNG.random(7), jnp.float32),
    jax.nn.one_hot(jnp.array([0, 1, 2, 0, 1, 2, 0]), 3),
)
MIXED = Cells(  # sharpness 1, 2 and 4, twice each, in no order
    lam=np.array([[0.3, 5.0, 20.0], [0.1, 1.0, 9.0]]),
    k=np.array([[2.5, 4.0, 30.0], [3.0, 2.0, 8.0]]),
    gamma=np.array([[1.0, 2.0, 4.0], [8.0, 1.0, 2.0]]),
    temperature=np.array([[1.0, 1.0, 1.0], [4.0, 0.25, 2.0]]),
)


def cells_found(levels, cells, horizon, memory=64 * MIB, **options):
    how = exact.plan(levels, cells, horizon=horizon, memory=memory)
    program = exact.program(levels, cells, how, horizon=horizon, **options)
    compiled = jax.jit(lambda program: program()).lower(program).compile()
    return exact.unsorted(compiled(program), cells), how


def by_hand(levels, p):
    p, p_ref, reward = (np.asarray(values, float) for values in (p, levels.p_ref, levels.reward))
    share = [p[np.asarray(levels.one_hot[:, label]) > 0].sum() for label in range(levels.one_hot.shape[1])]
    mean = (p_ref * reward).sum()
    return {
        "reward": ((p * reward).sum() - mean) / np.sqrt((p_ref * (reward - mean) ** 2).sum()),
        "entropy": -sum(part * np.log(part) for part in share),
        "kl": sum(a * np.log(a / b) for a, b in zip(p, p_ref, strict=True) if a > 0),
        "minority": min(share),
    }


def collapse_by_hand(entropy):
    for generation, value in enumerate(entropy):
        if value < entropy[0] / 2:
            return generation
    return np.nan


@pytest.fixture(scope="module")
def mixed():
    return cells_found(FEW, MIXED, horizon=8, window=(6, 9))


def test_cells_are_those_of_a_plain_loop(mixed):
    found, _ = mixed

    @jax.jit
    def course(k, lam, gamma, temperature):
        loop = {"k": k, "lam": lam, "temperature": temperature, "num": 400}
        return theory.trajectory(FEW.p_ref, gamma * FEW.reward, **loop)

    for index in np.ndindex(2, 3):
        settings = (MIXED.k, MIXED.lam, MIXED.gamma, MIXED.temperature)
        p = course(*(values[index] for values in settings))
        limit, early = by_hand(FEW, p[-1]), [by_hand(FEW, p[t]) for t in range(9)]
        for name, value in limit.items():
            np.testing.assert_allclose(found[name][index], value, atol=2e-5)  # float32
            np.testing.assert_allclose(found[f"course_{name}"][index], np.mean([e[name] for e in early[6:]]), atol=2e-5)
        np.testing.assert_equal(float(found["collapse"][index]), float(collapse_by_hand([e["entropy"] for e in early])))
    assert np.isnan(found["collapse"]).any() and np.isfinite(found["collapse"]).any()


def test_chunks_change_nothing_and_a_limit_that_is_not_reached_is_no_number(mixed):
    whole, how = mixed
    few_steps = {"memory": how.bytes - how.states // 2, "max_steps": 60}
    parts, chunked = cells_found(FEW, MIXED, 8, window=(6, 9), **few_steps)
    assert (how.batch, chunked.batch) == (2, 1)
    reached = np.isfinite(parts["kl"])
    assert 0 < reached.sum() < 6
    for name, values in whole.items():
        known = reached if name in ("reward", "entropy", "kl", "minority") else np.full((2, 3), True)
        np.testing.assert_allclose(parts[name][known], values[known], atol=1e-5)
        assert np.isnan(parts[name][~known]).all()
    with pytest.raises(app.UsageError, match="--memory"):
        exact.plan(FEW, MIXED, horizon=8, memory=how.tables)


def test_the_ceiling_holds_below_the_threshold(mixed):
    ceiling = np.vectorize(lambda k, lam: float(theory.kl_ceiling(k=k, lam=lam)))(MIXED.k, MIXED.lam)
    assert np.isfinite(ceiling).sum() == 2 and (mixed[0]["kl"] <= ceiling + 1e-5).all()


def test_at_temperature_zero_the_best_of_k_are_chosen():
    zero = MIXED._replace(temperature=np.zeros((2, 3)), gamma=np.ones((2, 3)))
    found, _ = cells_found(FEW, zero, horizon=3)
    course = jax.jit(
        lambda k, lam: theory.trajectory(FEW.p_ref, FEW.reward, k=k, lam=lam, temperature=0.0, num=300)[-1]
    )
    for index in np.ndindex(2, 3):
        for name, value in by_hand(FEW, course(zero.k[index], zero.lam[index])).items():
            np.testing.assert_allclose(found[name][index], value, atol=2e-5)  # float32


@pytest.mark.parametrize("seed", range(4))
def test_collapse_is_the_first_generation_below_half(seed):
    entropy = np.random.default_rng(seed).uniform(0.3, 1, 30).astype(np.float32)
    for length in (1, 3, 30):
        expected = float(collapse_by_hand(entropy[:length]))
        np.testing.assert_equal(float(exact.first_below_half(jnp.asarray(entropy[:length]))), expected)


def test_levels_keep_what_curation_can_see():
    """Each mode's mass, its mass at the best reward, and what a choice of sharpness 10 makes of it, to 2e-4."""
    plane = population.on_grid(RING, cr.distance(jnp.array(RING.liked), gamma=1.0), 0.0)
    full = Levels(plane.p_ref, plane.reward, jax.nn.one_hot(plane.label, 8))
    levels = merge(plane, 8)
    assert len(levels.p_ref) < len(full.p_ref) / 20 and float(levels.reward.min()) > float(full.reward.min())
    np.testing.assert_allclose(levels.p_ref @ levels.reward, full.p_ref @ full.reward, rtol=1e-5)
    for chosen in (
        lambda r: r > -99,
        lambda r: r == 0,
        *(lambda r, c=c: jax.nn.sigmoid(10 * r + c) for c in (0, 5, 20)),
    ):
        few, all_points = (each.share(each.p_ref * chosen(each.reward)) for each in (levels, full))
        np.testing.assert_allclose(few, all_points, atol=2e-4)


@pytest.mark.parametrize("pair", axes.PAIRS)
def test_on_the_threshold_lam_is_one_over_k_minus_one(pair):
    line = axes.threshold(pair, FIXED)
    along = dict(FIXED) | dict(zip(pair.split(","), line, strict=True))
    np.testing.assert_allclose(along["lam"] * (np.asarray(along["k"]) - 1), 1)
    for name, values in zip(pair.split(","), line, strict=True):  # it crosses the map
        assert values.min() < axes.RANGES[name][1] and values.max() > axes.RANGES[name][0]
    nowhere = FIXED | {"k": 1.0, "lam": 0.0}
    assert (axes.threshold(pair, nowhere) is None) == (pair != "lam,k")


def test_grids_span_their_ranges_and_trained_k_is_whole():
    grid = axes.exact_grid("temperature,k", 3, FIXED)
    np.testing.assert_allclose(grid.cells.temperature, np.tile([0.1, 1, 10], (3, 1)))
    np.testing.assert_allclose(grid.cells.k, np.tile([[2], [2 * 32**0.5], [64]], 3))
    assert (grid.cells.lam == 0.25).all() and (grid.cells.gamma == 10).all()
    some = axes.trained_grid("lam,k", (4, 40), FIXED)
    assert (some.y == np.round(some.y)).all() and (np.diff(some.y) > 0).all() and some.y[0] == 2
    assert trained.places(some.cells)[1] == Place(0.27, 2, 10.0, 1.0)


def test_each_k_is_one_program_of_its_cells_and_seeds(monkeypatch, tmp_path):
    driven = []

    def drive(folder, settings, begin, advance, *, cells, **options):
        driven.append((folder.name, cells, jax.eval_shape(begin).generation.shape))
        return {"place": np.arange(len(cells))[None] + 100 * len(driven)}

    monkeypatch.setattr(trained, "drive", drive)
    wanted = [Place(1.0, 3, 10.0, 1.0), Place(1.0, 2, 10.0, 1.0), Place(2.0, 3, 5.0, 0.5), Place(1.0, 3, 10.0, 1.0)]
    plane = population.on_grid(RING, cr.distance(jnp.array(RING.liked), gamma=1.0), 0.0)
    found = trained.play(
        tmp_path, {}, RING, plane, Learner("gmm", 50, 10, 1, 1), wanted, liked=RING.liked, r_min=1.0,
        seeds=jnp.arange(2), generations=1, every=1,
    )  # fmt: skip
    assert [(name, shape) for name, _, shape in driven] == [("k=2", (2,)), ("k=3", (4,))]
    assert driven[1][1][2:] == [{"lam": 2.0, "gamma": 5.0, "temperature": 0.5, "seed": seed} for seed in (0, 1)]
    assert found.keys() == set(wanted)
    np.testing.assert_array_equal(found[wanted[2]]["place"], [[202, 203]])


def test_what_is_measured_is_the_mean_of_the_last_generations():
    share = np.random.default_rng(1).dirichlet(np.ones(3), size=(5, 2)).astype(np.float32)
    entropy = np.array([[1.0, 1.0], [0.6, 0.7], [0.4, 0.6], [0.7, 0.6], [0.3, 0.6]])
    history = {"share": share, "entropy": entropy, "kl": entropy, "reward_mean": -2 * entropy}
    found = trained.measured(history, FEW, gamma=2.0)
    last = share[2:].mean(axis=0)
    np.testing.assert_allclose(found["minority"], last.min(axis=1))
    np.testing.assert_allclose(found["entropy"], -(last * np.log(last)).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found["kl"], [1.4 / 3, 0.6])
    mean, sd = (float(value) for value in exact.moments(FEW))
    np.testing.assert_allclose(found["reward"], (-np.array([1.4 / 3, 0.6]) - mean) / sd, rtol=1e-6)
    np.testing.assert_array_equal(found["collapse"], [2, np.nan])
    average, error = report.over_seeds([found, found], (1, 2))
    np.testing.assert_allclose(average["kl"], [[1.6 / 3, 1.6 / 3]])
    np.testing.assert_allclose(error["kl"], np.full((1, 2), abs(1.4 / 3 - 0.6) / 2))
    assert np.isnan(average["collapse"]).all()
