import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining.classifiers import parameters

TREE = {"a": (jnp.arange(6.0).reshape(2, 3), jnp.int32(7)), "b": {"kernel": jnp.array([True, False])}}
SETTINGS = {"widths": (32, 64), "steps": 5, "mirror": False}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "params.npz"


@pytest.fixture
def saved(path):
    parameters.save(path, TREE, SETTINGS)
    return path


@pytest.mark.parametrize("like", [TREE, jax.eval_shape(lambda: TREE)])
def test_what_was_saved_comes_back(saved, like):
    back = parameters.load(saved, like, dict(reversed(SETTINGS.items())))
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    jax.tree.map(np.testing.assert_array_equal, back, TREE)
    assert [leaf.dtype for leaf in jax.tree.leaves(back)] == [leaf.dtype for leaf in jax.tree.leaves(TREE)]
    assert [file.name for file in saved.parent.iterdir()] == ["params.npz"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (SETTINGS | {"steps": 6}, "made with steps=5, not 6"),
        (SETTINGS | {"widths": (32,)}, r"made with widths=\[32, 64\], not \[32\]"),
        (SETTINGS | {"more": 1}, "made with more=None, not 1"),
        ({}, "made with mirror=False, not None"),
    ],
)
def test_other_settings_are_refused(saved, settings, said):
    with pytest.raises(ValueError, match=f"{said}: name another file, or delete this one"):
        parameters.load(saved, TREE, settings)


@pytest.mark.parametrize(
    ("like", "said"),
    [
        (TREE | {"a": (jnp.zeros((3, 2)), TREE["a"][1])}, r"\['a'\]\[0\] is float32\[2, 3\], not float32\[3, 2\]"),
        (TREE | {"a": (TREE["a"][0], jnp.float32(7))}, r"is int32\[\], not float32\[\]"),
        (TREE | {"c": jnp.zeros(1)}, r"\['c'\] is absent, not float32\[1\]"),
        ({"a": TREE["a"]}, r"\['b'\]\['kernel'\] is bool\[2\], not absent"),
    ],
)
def test_another_architecture_is_refused(saved, like, said):
    with pytest.raises(ValueError, match=f"another architecture: .*{said}"):
        parameters.load(saved, like, SETTINGS)


def test_an_absent_file_and_one_of_another_kind(path, tmp_path):
    with pytest.raises(ValueError, match="is not there"):
        parameters.load(path, TREE, SETTINGS)
    for name in ("empty", "text", "npy", "npz"):
        (tmp_path / name).write_bytes({"text": b"1, 2"}.get(name, b""))
    with (tmp_path / "npy").open("wb") as file:
        np.save(file, np.zeros(3))
    np.savez(tmp_path / "npz", x=np.zeros(3))
    for name in ("empty", "text", "npy", "npz.npz"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as parameters"):
            parameters.load(tmp_path / name, TREE, SETTINGS)


def test_no_changed_byte_goes_unseen(saved):
    """A byte that says neither names nor contents, such as a time, may change; the file itself is never touched."""
    whole, seen = saved.read_bytes(), 0
    for place in range(0, len(whole), 5):
        damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        saved.write_bytes(damaged)
        try:
            back = parameters.load(saved, TREE, SETTINGS)
        except ValueError:
            seen += 1
        else:
            jax.tree.map(np.testing.assert_array_equal, back, TREE)
        assert saved.read_bytes() == damaged
    assert seen > len(whole) / 5 / 2
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cannot be read as parameters"):
            parameters.load(saved, TREE, SETTINGS)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    def full(*args):
        raise OSError("no space left")

    whole = saved.read_bytes()
    monkeypatch.setattr(parameters.os, "fsync", full)
    with pytest.raises(ValueError, match="cannot be written: no space left"):
        parameters.save(saved, TREE, {})
    assert {file.name: file.read_bytes() for file in saved.parent.iterdir()} == {"params.npz": whole}


def test_a_dtype_that_the_file_would_not_return_is_refused(path):
    with pytest.raises(ValueError, match=r"cannot hold leaf\['w'\] of bfloat16: cast it to float32"):
        parameters.save(path, {"w": jnp.zeros(2, jnp.bfloat16)}, {})
    assert not path.exists()
