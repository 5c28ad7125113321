"""What several devices cannot do is said in one line; meshes without devices show it on any machine."""

import jax
import jax.numpy as jnp
import pytest
from absl import app, flags
from absl.testing import flagsaver
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

import curated_retraining as cr
from curated_retraining import grids
from curated_retraining.data import spread
from experiments import devices

EIGHT = AbstractMesh((8,), ("batch",), axis_types=(AxisType.Auto,))


def test_cells_that_do_not_split_are_refused_with_what_would():
    cells = grids.grid({"lam": [1.0, 2.0]}, range(3))
    with pytest.raises(ValueError, match=r"6 cells .* over 8 devices.*multiple of 8, or a mesh of 6"):
        grids.programs(lambda lam: None, cells, mesh=EIGHT)
    with pytest.raises(ValueError, match="6 cells"):
        jax.eval_shape(lambda x: grids.mapped(jnp.sin, x, mesh=EIGHT), jnp.zeros(6))


def test_rows_that_do_not_split_are_refused_and_without_a_mesh_nothing_is_done():
    with jax.sharding.use_abstract_mesh(EIGHT), pytest.raises(ValueError, match=r"12 rows .* 8 devices"):
        jax.eval_shape(spread, jnp.zeros((12, 2)))
    x = jnp.zeros((12, 2))
    assert spread(x) is x


def test_a_mesh_without_the_axis_is_refused():
    with pytest.raises(ValueError, match="no axis 'model'"):
        cr.sharded(cr.gaussian(), EIGHT, "model")
    with pytest.raises(ValueError, match="no axis 'batch'"):
        cr.sharded(cr.gaussian(), AbstractMesh((8,), ("cells",), axis_types=(AxisType.Auto,)))


def test_parameters_are_split_along_the_last_of_the_largest_axes_that_will_do():
    shapes = [(3, 3, 16, 16), (32, 8), (9, 8), (7,), ()]
    specs = [each.spec for each in cr.placement([jnp.zeros(shape) for shape in shapes], EIGHT, "batch")]
    expected = [(None, None, None, "batch"), ("batch", None), (None, "batch"), (None,), ()]
    assert specs == [PartitionSpec(*spec) for spec in expected]
    assert {each.spec for each in cr.placement([jnp.zeros(8)], EIGHT)} == {PartitionSpec(None)}


@pytest.fixture(scope="module")
def flagged():
    before = set(flags.FLAGS)
    devices.define()
    flags.FLAGS(["experiment"])
    yield
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"devices": 2}, "--devices=2 are more"),
        ({"processes": 2}, "go together"),
        ({"coordinator": "a:1", "processes": 2, "process": 0}, "with --multihost"),
        ({"multihost": True}, "give --coordinator"),
    ],
)
def test_flags_that_cannot_be(flagged, given, said, monkeypatch):
    def initialize(*known):
        assert known == (None, None, None)
        raise ValueError("coordinator_address should be defined.")  # as JAX does where it finds no cluster

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with flagsaver.flagsaver(**given), pytest.raises(app.UsageError, match=said):
        devices.join()
        devices.mesh(6)


def test_one_device_needs_no_mesh(flagged):
    assert devices.mesh(6) is None
