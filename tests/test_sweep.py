"""Sweeps: named axes, one program for each static value, a folder that resumes."""

import csv
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import curated_retraining as cr
from curated_retraining import grids, metrics

TRACES = []
AXES = {"k": [2, 4], "lam": [1.0, jnp.inf], "temperature": [0.0, 1.0]}
OPTIONS = {"static": ["k"], "generations": 1}


def make(k, lam, temperature):
    TRACES.append((k, isinstance(lam, jax.core.Tracer)))
    model, mixing = cr.gaussian(), cr.with_real(lam)
    step = cr.retraining(
        model,
        reward=lambda x: x[:, 0],
        curate=cr.k_way(k, cr.luce(temperature)),
        mixing=mixing,
        pool_size=16,
        metrics=metrics.reward_moments(),
    )
    return cr.Loop(lambda key: cr.start(key, model, mixing, cr.uniform(jnp.eye(8)), slot=16 // k), step)


@pytest.fixture(autouse=True)
def keys_of_vmapped_scans():
    """JAX's check for keys used twice takes those of a scan under vmap for used; test_grids checks the same loops."""
    with jax.debug_key_reuse(False):
        yield


@pytest.fixture(scope="module")
def swept():
    del TRACES[:]
    return types.SimpleNamespace(**cr.sweep(make, AXES, range(3), batch=1, **OPTIONS)._asdict(), traces=tuple(TRACES))


def test_axes_have_names_and_stand_in_the_order_given(swept):
    assert {name: len(values) for name, values in swept.axes.items()} == {
        "k": 2, "lam": 2, "temperature": 2, "seed": 3, "generation": 2,
    }  # fmt: skip
    assert swept.history["reward_mean"].shape == (2, 2, 2, 3, 2)
    other = cr.sweep(make, {"lam": [jnp.inf], "k": [4], "temperature": [1.0]}, [2], batch=1, **OPTIONS)
    for name, values in swept.history.items():
        # cells played alone: sums of 16 numbers may be taken in another order
        np.testing.assert_allclose(other.history[name][0, 0, 0, 0], values[1, 1, 1, 2], rtol=1e-5)
    generation_zero = swept.history["reward_mean"][..., 0]
    assert np.ptp(generation_zero, axis=(0, 1, 2)).max() == 0 and np.ptp(generation_zero[0, 0, 0]) > 0


def test_each_static_value_is_traced_once_as_a_program_and_data_never_again(swept):
    traced = [k for k, is_traced in swept.traces if is_traced]
    assert sorted(traced) == 3 * [2] + 3 * [4]  # `begin` for its shapes and as a program, and `advance`


def test_a_value_that_a_builder_refuses_is_refused_whatever_its_place(swept):
    tried = [k for k, is_traced in swept.traces if not is_traced]
    assert tried == 4 * [2]  # two values of each of two axes, and no combinations
    for axes in ({"lam": [1.0, -3.0]}, {"temperature": [0.0, 1.0, -1.0]}):
        (name, values), before = *axes.items(), len(TRACES)
        with pytest.raises(ValueError, match=f"{name}={values[-1]} is not"):
            cr.sweep(make, AXES | axes, [0], batch=1, **OPTIONS)
        assert not any(is_traced for _, is_traced in TRACES[before:])


def test_cells_side_by_side_give_the_same_numbers(swept):
    together = cr.sweep(make, AXES | {"k": [2]}, range(3), batch=5, **OPTIONS)  # of 12: two batches, and a rest
    for name, values in together.history.items():
        np.testing.assert_allclose(values, swept.history[name][:1], rtol=1e-5, err_msg=name)


@pytest.mark.long
def test_the_batch_is_measured_where_none_is_given(capsys):
    found = cr.sweep(make, {"k": [2], "lam": [1.0], "temperature": [1.0]}, range(9), **OPTIONS)
    said = capsys.readouterr().out
    assert "1 side by side: " in said and "8 side by side: " in said and found.batch in (1, 8)
    assert found.history["reward_mean"].shape == (1, 1, 1, 9, 2)


def test_a_folder_resumes_to_the_bit_with_the_batch_it_began_with(tmp_path, capsys):
    axes = AXES | {"lam": [1.0]}  # two programs of four cells
    whole = cr.sweep(make, axes, range(2), batch=2, folder=tmp_path / "whole", **OPTIONS)
    part = cr.sweep(make, axes, range(2), batch=2, folder=tmp_path / "cut", static=["k"], generations=0)
    assert part.history["reward_mean"].shape == (2, 1, 2, 2, 1)
    capsys.readouterr()
    again = cr.sweep(make, axes, range(2), folder=tmp_path / "cut", **OPTIONS)
    assert again.batch == 2 and "side by side" not in capsys.readouterr().out
    for name, values in whole.history.items():
        np.testing.assert_array_equal(again.history[name], values)
    assert (tmp_path / "cut/metrics.csv").read_bytes() == (tmp_path / "whole/metrics.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "whole/metrics.csv").open()))
    assert list(rows[0])[:5] == ["k", "lam", "temperature", "seed", "generation"] and len(rows) == 2 * 2 * 2 * 2
    assert float(rows[-1]["reward_mean"]) == pytest.approx(float(whole.history["reward_mean"][-1, -1, -1, -1, -1]))
    with pytest.raises(cr.driver.RunError, match="seeds"):
        cr.sweep(make, axes, range(3), folder=tmp_path / "cut", **OPTIONS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"axes": AXES | {"lam": []}}, "'lam' has no values"),
        ({"axes": AXES | {"generation": [1]}}, "'generation'"),
        ({"axes": AXES | {"seed": [1]}}, "'seed': give its values as seeds="),
        ({"static": ["pool"]}, "pool"),
        ({"static": ["seed"]}, "seed"),
        ({"batch": 0}, "batch=0"),
        ({"seeds": []}, "'seed' has no values"),
        ({"seeds": [0, 2**32]}, r"seeds=\[4294967296\] are no 32-bit integers"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(change, said):
    arguments = {"axes": AXES, "seeds": [0], "static": ["k"], "generations": 1} | change
    with pytest.raises(ValueError, match=said):
        cr.sweep(make, **arguments)


def test_a_metric_whose_shape_hangs_on_a_static_value_is_named():
    def by_k(k):
        loop = make(k, 1.0, 1.0)
        return grids.Loop(loop.start, lambda key, state: (state, {"reward": jnp.zeros(k)}))

    with pytest.raises(ValueError, match="'reward' has another shape"):
        cr.sweep(by_k, {"k": [2, 4]}, [0], batch=1, **OPTIONS)


def plain(lam, **static):
    """The least loop there is: a number that grows."""
    del static

    def step(key, state):
        del key
        return state._replace(model=state.model + 1), {"reward": state.model}

    return cr.Loop(lambda key: cr.LoopState(jnp.zeros((), int), lam + 0.0, (), ()), step)


def plainly(folder, axes, generations=1, static=(), **options):
    return cr.sweep(plain, axes, [0], generations=generations, static=static, batch=1, folder=folder, **options)


def test_static_values_of_any_spelling_resume_in_folders_of_their_own(tmp_path):
    axes = {"lam": [1.0], "widths": [[32], [32, 64]], "data": ["a/b", "../../c"]}
    for generations in (1, 2):
        swept = plainly(tmp_path / "in", axes, generations, ["widths", "data"])
        assert swept.history["reward"].shape == (1, 2, 2, 1, generations + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert (tmp_path / "in/widths=32, 64,data=a_b/metrics.csv").exists()


def test_static_values_that_are_written_alike_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"would share a folder, of \['width=32', 'width=32'\]"):
        plainly(tmp_path / "run", {"lam": [1.0], "width": [32, [32]]}, static=["width"])
    plainly(tmp_path / "run", {"lam": [1.0], "width": [32]}, static=["width"])
    with pytest.raises(cr.driver.RunError, match=r'cells\[0\]="lam=1.0, width=32, seed=0", not "lam=1.0, width=\[32\]'):
        plainly(tmp_path / "run", {"lam": [1.0], "width": [[32]]}, static=["width"])


def test_a_folder_keeps_the_table_of_the_sweep_it_belongs_to(tmp_path):
    plain_axes, static_axes = {"lam": [1.0]}, {"lam": [1.0], "k": [2, 4]}
    plainly(tmp_path / "one", plain_axes)
    table = (tmp_path / "one/metrics.csv").read_text()
    with pytest.raises(cr.driver.RunError, match=r'holds a run with static=null, not \["k"\]'):
        plainly(tmp_path / "one", static_axes, static=["k"])
    assert (tmp_path / "one/metrics.csv").read_text() == table
    plainly(tmp_path / "other", static_axes, static=["k"])
    with pytest.raises(cr.driver.RunError, match=r'holds a run with static=\["k"\], not null'):
        plainly(tmp_path / "other", plain_axes)
    more = plainly(tmp_path / "other", {"lam": [1.0], "k": [2, 4, 8]}, static=["k"])
    assert more.history["reward"].shape == (1, 3, 1, 2)


def test_fewer_generations_than_before_agree_with_their_axis(tmp_path):
    plainly(tmp_path, {"lam": [1.0]}, 3)
    swept = plainly(tmp_path, {"lam": [1.0]}, 1)
    assert swept.history["reward"].shape == (1, 1, len(swept.axes["generation"])) == (1, 1, 2)


@pytest.mark.parametrize("text", ["", '{"flags": {"lam": 1}}'])
def test_the_folder_of_something_else_is_refused_and_folders_below_are_nothing_to_it(tmp_path, text):
    (tmp_path / "gmm").mkdir()
    (tmp_path / "gmm/config.json").write_text(text)
    with pytest.raises(cr.driver.RunError, match="choose another folder"):
        cr.sweep(plain, {"lam": [1.0]}, [0], generations=0, folder=tmp_path / "gmm")
    cr.sweep(plain, {"lam": [1.0]}, [0], generations=0, folder=tmp_path)
