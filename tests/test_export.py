"""Histories in pandas, xarray and TensorBoard: each number under the names of its cell and generation."""

import math
import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jax.tree_util import Partial
from tensorboardX.proto import event_pb2

import curated_retraining as cr
from curated_retraining import driver, export, grids
from curated_retraining.types import LoopState

LAMS, SEEDS, GENERATIONS = (0.5, math.inf), (3, 4), 2


def level(lam, generation):
    """What the loop below reports of generation 0, 1, ..."""
    return (1 if math.isinf(lam) else lam) + 10 * generation


def make(lam):
    """A loop without a model, so that it compiles at once."""

    def step(key, state):
        at = jnp.where(jnp.isinf(lam), 1.0, lam) + 10 * state.generation
        report = {"level": at, "share": jnp.stack([at, -at]), "points": jnp.full((3, 2), at)}
        return state._replace(generation=state.generation + 1), report

    return cr.Loop(Partial(begin), Partial(step))


def begin(key):
    return LoopState(jnp.zeros((), jnp.int32), (), (), ())


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A run's folder, its history and its cells."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    cells = grids.grid({"lam": LAMS}, SEEDS)
    history = driver.drive(folder, {}, *grids.programs(make, cells), cells=cells, generations=GENERATIONS)
    return folder, history, cells


@pytest.fixture(scope="module")
def swept():
    return cr.sweep(make, {"lam": LAMS}, SEEDS, generations=GENERATIONS, batch=1)


def test_a_frame_has_the_columns_and_numbers_of_metrics_csv(driven, swept):
    folder, history, cells = driven
    written = pd.read_csv(folder / "metrics.csv")
    assert list(written) == ["lam", "seed", "generation", "level", "share_0", "share_1"] and len(written) == 12
    for frame in (export.to_pandas(history, cells), export.to_pandas(folder), export.to_pandas(swept)):
        pd.testing.assert_frame_equal(frame, written, check_dtype=False)
    expected = [level(lam, t) for lam in LAMS for _ in SEEDS for t in range(GENERATIONS + 1)]
    np.testing.assert_array_equal(written["level"], expected)


def test_a_history_of_run_needs_no_axes_and_one_under_vmap_takes_theirs():
    def course(lam):
        return cr.run(jax.random.key(0), begin(None), make(lam).step, 3)[1]

    alone = export.to_pandas(course(0.5))
    assert list(alone) == ["generation", "level", "share_0", "share_1"]
    np.testing.assert_array_equal(alone["level"], [0.5, 10.5, 20.5])
    lams = jnp.array([2.0, 0.5])
    together = export.to_xarray(jax.vmap(course)(lams), {"lam": lams})
    assert together["level"].dims == ("lam", "generation")
    np.testing.assert_array_equal(together["level"].sel(lam=0.5), alone["level"])


def test_a_sweep_keeps_its_axes_and_all_metrics(swept):
    named = export.to_xarray(swept)
    assert named["points"].dims == ("lam", "seed", "generation", "points_axis_0", "points_axis_1")
    for lam in LAMS:
        at = named.sel(lam=lam, seed=4, generation=2)
        assert (float(at["level"]), float(at["share"][1])) == (level(lam, 2), -level(lam, 2))
    assert named["level"].mean("seed").dims == ("lam", "generation")


def test_cells_are_one_axis_with_their_columns(driven):
    _, history, cells = driven
    named = export.to_xarray(history, cells)
    assert named["share"].dims == ("cell", "generation", "share_axis_0")
    of_inf = named["level"].where(named["lam"] == math.inf, drop=True)
    np.testing.assert_array_equal(of_inf, [[level(math.inf, t) for t in range(GENERATIONS + 1)]] * len(SEEDS))


def scalars(folder):
    """Tag, step and value of each event of a TensorBoard run; an event lies between its length and two checksums."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        content = content[16 + length :]
    return found


def test_tensorboard_has_a_run_for_each_cell(driven, swept, tmp_path):
    folder, *driven = driven
    for name, given in {"sweep": (swept, None), "drive": driven, "folder": (folder, None)}.items():
        history, axes = given
        export.to_tensorboard(history, tmp_path / name, axes)
        assert len(list((tmp_path / name).iterdir())) == len(LAMS) * len(SEEDS)
        found = scalars(tmp_path / name / "lam=inf,seed=3")
        assert [row for row in found if row[0] == "level"] == [("level", t, level(math.inf, t)) for t in range(3)]
        assert {tag for tag, *_ in found} == {"level", "share_0", "share_1"}
    with pytest.raises(ValueError, match="holds the events"):
        export.to_tensorboard(swept, tmp_path)


def test_axes_that_do_not_fit_are_told(driven, swept, tmp_path):
    folder, history, cells = driven
    one = {"level": np.zeros((2, 3))}
    for given, axes, named in (
        (history, cells[:3], r"'level' is \(4, 3\), not \(3,\) of \('cell',\)"),
        (one, {"lam": [1.0]}, r"'level' is \(2, 3\), not \(1,\) of \('lam',\) and 3 generations"),
        (one | {"mass": np.zeros((2, 4))}, {"lam": LAMS}, "'mass'"),
        ({"level": np.zeros(3)}, {"lam": LAMS}, "'level'"),
        (swept, {"lam": LAMS}, "leave them out"),
        (folder.parent, None, "metrics.csv is no table"),
    ):
        for to in (export.to_pandas, export.to_xarray):
            with pytest.raises(ValueError, match=named):
                to(given, axes)
        with pytest.raises(ValueError, match=named):
            export.to_tensorboard(given, tmp_path, axes)
    for text in ("", "lam,generation\n", "lam,generation,level\n1,0,2\n1,1\n", "a,b\n1,2\n"):
        (tmp_path / "metrics.csv").write_text(text)
        with pytest.raises(ValueError, match="is no table of a run"):
            export.to_pandas(tmp_path)


@pytest.mark.parametrize("package", ["pandas", "xarray", "tensorboardX"])
def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    call = {"pandas": export.to_pandas, "xarray": export.to_xarray, "tensorboardX": export.to_tensorboard}[package]
    with pytest.raises(ModuleNotFoundError, match=f"pip install {package}$"):
        call({"level": np.zeros(3)}, *([tmp_path] if package == "tensorboardX" else []))
