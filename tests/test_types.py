import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from curated_retraining.types import Model, Static, floating, lift, lift_all, require


def test_lift_makes_a_function_an_argument_of_a_program():
    def double(x):
        return 2 * x

    assert jax.jit(lambda f, x: f(x))(lift(double), 3.0) == 6.0
    assert jax.tree.structure(lift(double)) == jax.tree.structure(lift(double))


def test_lift_leaves_a_partial_as_it_is():
    held = Partial(jnp.add, jnp.ones(2))
    assert lift(held) is held


def test_lift_all_lifts_each_function_and_keeps_what_is_missing():
    held = Partial(lambda scale, key, state, num: jnp.full(num, scale * state), 3.0)
    model = lift_all(Model(lambda key, x: x.sum(), lambda key, state, data: state, held, None))

    assert model.log_prob is None and model.sample is held
    assert isinstance(model.init, Partial) and isinstance(model.fit, Partial)
    drawn = jax.jit(lambda model, state: model.sample(jax.random.key(0), state, 2))(model, 5.0)
    np.testing.assert_array_equal(drawn, [15, 15])


def test_static_belongs_to_the_program():
    traced = []

    @jax.jit
    def zeros(size):
        traced.append(size.value)
        return jnp.zeros(size.value)

    assert [zeros(Static(n)).shape for n in (2, 2, 3)] == [(2,), (2,), (3,)]
    assert traced == [2, 3]
    assert jax.tree.leaves(Static(2)) == []


def test_require_names_what_is_wrong():
    require("width", jnp.array([1.0, 2.0]), lambda w: w > 0, "is not a width")
    with pytest.raises(ValueError, match=r"width=-1 is not a width: take more"):
        require("width", -1, lambda w: w > 0, "is not a width: take more")


@pytest.mark.parametrize("value", [[1.0, 0.0], [1.0, np.nan]])
def test_require_rejects_an_array_with_one_wrong_entry(value):
    with pytest.raises(ValueError, match="width="):
        require("width", jnp.array(value), lambda w: w > 0, "is not a width")


def test_require_lets_traced_values_pass():
    def doubled(width):
        require("width", width, lambda w: w > 0, "is not a width")
        return 2 * width

    assert jax.jit(doubled)(-1.0) == -2
    np.testing.assert_array_equal(jax.vmap(doubled)(jnp.array([-1.0, 1.0])), [-2, 2])


def test_floats_are_short_ones_at_most_as_far_as_float32():
    """Weak ones too: a number that Python made is no shorter than it says."""
    with jax.enable_x64(True):
        for x, dtype in (
            (jnp.full(2, 0.5), "float64"),
            (jnp.arange(2), "float64"),
            (jnp.zeros(2, "bfloat16"), "float32"),
        ):
            assert floating(x).dtype == dtype
    assert floating(jnp.arange(2)).dtype == floating(jnp.array([True])).dtype == "float32"
