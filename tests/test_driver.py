"""A run on the host: its files, its resumption, and what it refuses. `faults/` has kills, full disks and damage."""

import csv
import io
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining.driver import RunError, advanced, drive, histories, newest, table
from curated_retraining.types import Static

CELLS = [{"lam": "inf", "seed": 0}, {"lam": "1", "seed": 0}]
SETTINGS = {"gamma": 10.0, "lam": ["inf", "1"]}


def begin():
    """A counter and a bit of noise for each of two cells."""
    return {"generation": jnp.zeros(2, int), "noise": jnp.arange(2.0)}


def advance(scale, state):
    state = {"generation": state["generation"] + 1, "noise": scale * jnp.sin(state["noise"] + 1)}
    return state, {"reward_mean": state["noise"] / 3, "share": jnp.outer(state["noise"], jnp.arange(3.0))}


def go(folder, settings=SETTINGS, generations=3, scale=1.0, **options):
    step = Partial(advance, scale)
    return drive(folder, settings, Partial(begin), step, cells=CELLS, generations=generations, **options)


def test_history_and_files(tmp_path):
    history = go(tmp_path / "run")
    assert history["reward_mean"].shape == (4, 2) and history["share"].shape == (4, 2, 3)
    noise = np.arange(2.0, dtype=np.float32)
    for generation in range(4):
        noise = np.sin(noise + 1)
        np.testing.assert_allclose(history["reward_mean"][generation], noise / 3, rtol=1e-6)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["flags"] == SETTINGS and config["versions"]["jax"] == jax.__version__ and config["device"]
    assert sorted(int(path.name) for path in (tmp_path / "run/checkpoints").iterdir()) == [0, 1, 2, 3]


def test_only_the_newest_checkpoints_stay_and_hold_the_last_state(tmp_path):
    with pytest.raises(RunError, match="holds no checkpoint"):
        newest(tmp_path / "run", Partial(begin))
    go(tmp_path / "run", keep=2)
    assert sorted(int(path.name) for path in (tmp_path / "run/checkpoints").iterdir()) == [2, 3]
    state, noise = newest(tmp_path / "run", Partial(begin)), np.arange(2.0, dtype=np.float32)
    for _ in range(4):
        noise = np.sin(noise + 1)
    np.testing.assert_allclose(state["noise"], noise, rtol=1e-6)
    np.testing.assert_array_equal(state["generation"], [4, 4])


def test_csv_gives_back_the_floats(tmp_path):
    history = go(tmp_path / "run")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "run/metrics.csv").read_text())))
    assert list(rows[0]) == ["lam", "seed", "generation", "reward_mean", "share_0", "share_1", "share_2"]
    assert [(row["lam"], row["generation"]) for row in rows] == [
        (lam, str(g)) for lam in ("inf", "1") for g in range(4)
    ]
    for row in rows:
        cell, generation = ("inf", "1").index(row["lam"]), int(row["generation"])
        assert np.float32(row["reward_mean"]) == history["reward_mean"][generation, cell]
        assert np.float32(row["share_2"]) == history["share"][generation, cell, 2]


def test_larger_arrays_stay_out_of_the_table():
    history = {"reward_mean": np.zeros((1, 2)), "pool": np.zeros((1, 2, 5, 2))}
    assert table(history, CELLS).splitlines()[0] == "lam,seed,generation,reward_mean"


@pytest.mark.parametrize("every", [1, 2])
def test_resumes_to_the_bit(tmp_path, every):
    whole = go(tmp_path / "whole", generations=5)
    go(tmp_path / "cut", generations=2, every=every)
    assert go(tmp_path / "cut", generations=5, every=every).keys() == whole.keys()
    assert (tmp_path / "cut/metrics.csv").read_bytes() == (tmp_path / "whole/metrics.csv").read_bytes()


def test_a_complete_run_computes_nothing(tmp_path, monkeypatch):
    first = go(tmp_path / "run")
    monkeypatch.setattr("curated_retraining.driver.generations.compiled", lambda *args: pytest.fail("compiled again"))
    np.testing.assert_equal(go(tmp_path / "run"), first)


def test_every_saves_that_often_and_at_the_end(tmp_path):
    go(tmp_path / "run", generations=4, every=2)
    assert sorted(int(path.name) for path in (tmp_path / "run/checkpoints").iterdir()) == [1, 3, 4]


def test_other_settings_are_refused_and_nothing_is_touched(tmp_path):
    go(tmp_path / "run")
    before = _contents(tmp_path / "run")
    with pytest.raises(RunError, match=r"gamma=10\.0, not 5\.0"):
        go(tmp_path / "run", settings=SETTINGS | {"gamma": 5.0})
    with pytest.raises(RunError, match="epsilon=null"):
        go(tmp_path / "run", settings=SETTINGS | {"epsilon": 1})
    with pytest.raises(RunError, match=r"gamma=10\.0, not null"):
        go(tmp_path / "run", settings={"lam": SETTINGS["lam"]})
    assert _contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"generations": -1}, "generations=-1 is not a whole number of at least 0"),
        ({"generations": 2.0}, r"generations=2\.0"),
        ({"every": 0}, "every=0 is not a whole number of at least 1"),
        ({"keep": 0}, "keep=0 is not a whole number of at least 1"),
        ({"settings": {"x": np.float32(1)}}, r"settings: x=.*1\.0.* is no JSON .*: give numbers of Python"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(tmp_path, wrong, said):
    with pytest.raises(ValueError, match=said):
        go(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["lam", "seed", "generation", "share_0"])
def test_two_columns_of_one_name_are_refused_before_anything_is_kept(tmp_path, name):
    """So that the same folder takes the run once the metric has another name."""

    def advance(metric, state):
        return state, {"share": jnp.ones((2, 1)), metric.value: jnp.ones(2)}

    def drives(metric):
        step = Partial(advance, Static(metric))
        return drive(tmp_path / "run", SETTINGS, Partial(begin), step, cells=CELLS, generations=0)

    with pytest.raises(ValueError, match=f"the metric '{name}' makes a second column '{name}' of the table: rename it"):
        drives(name)
    assert not (tmp_path / "run/history.bin").exists() and not list((tmp_path / "run/checkpoints").iterdir())
    assert drives("other").keys() == {"share", "other"}


def test_a_folder_in_use_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("curated_retraining.driver.checkpoints.restored", lambda *args: go(tmp_path / "run"))
    with pytest.raises(RunError, match="in use by another process"):
        go(tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        go(tmp_path / "file" / "run")


def test_a_foreign_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="not a run's config"):
        go(tmp_path)


def test_a_history_is_cut_off_where_it_goes_on_and_its_digests_are_of_all_before(tmp_path):
    first, other, then = ({"a": np.full((1, 1), value)} for value in (1.0, 2.0, 3.0))
    path, different = tmp_path / "one", tmp_path / "other"
    begun = histories.append(path, histories.START, [first])
    histories.append(path, begun, [other, other])
    place = histories.append(path, begun, [then])
    assert path.stat().st_size == place.end and [row["a"].item() for row, _ in histories.read(path)] == [1, 3]
    assert histories.append(different, histories.START, [other, then]).sha256 != place.sha256


def test_numbers_that_are_not_finite_stop_the_run(tmp_path):
    with pytest.raises(RunError, match=r"reward_mean, share are not finite in generation 0 \(lam=inf, seed=0\)"):
        go(tmp_path / "run", scale=jnp.nan)
    assert not (tmp_path / "run/metrics.csv").exists()


def test_what_a_loop_remembers_may_be_anything_and_its_model_may_not():
    def play(model, memory):
        state = cr.LoopState(jnp.zeros(2, int), jnp.full(2, model), jnp.full((2, 3), memory), ())
        step = Partial(lambda state: (state, {"generation": state.generation}))
        return len(list(advanced(Partial(lambda: state), step, cells=CELLS, generations=1)))

    assert play(1.0, jnp.nan) == 2
    with pytest.raises(RunError, match=r"the state's model is not finite before generation 0 \(lam=inf"):
        play(jnp.nan, 1.0)


def test_what_partials_hold_is_an_argument_of_the_program(tmp_path):
    big = jnp.ones(100_000)

    def sums(big, state):
        return state, {"total": jnp.full(2, big.sum())}

    text = jax.jit(lambda f, s: f(s)).lower(Partial(sums, big), begin()).as_text()
    assert "dense<1.000000e+00> : tensor<100000xf32>" not in text and len(text) < 10_000
    history = drive(tmp_path, {}, Partial(begin), Partial(sums, big), cells=CELLS, generations=1)
    np.testing.assert_array_equal(history["total"], 100_000)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
