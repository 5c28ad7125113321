import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from curated_retraining.networks.conv import Conv, UpConv, convolve, convolve_doubled


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def plain(x, kernel):
    border = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return lax.conv_general_dilated(x, kernel, (1, 1), border, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def doubled(x):
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def assert_same(one, other, x, kernel):
    """Values and both gradients, inside `lax.scan` where XLA does least by itself."""

    def both(x, kernel):
        def body(total, _):
            out, pull = jax.vjp(one, x, kernel)
            expected, pull_expected = jax.vjp(other, x, kernel)
            return total, ((out, *pull(jnp.sin(out))), (expected, *pull_expected(jnp.sin(expected))))

        return lax.scan(body, 0.0, None, length=1)[1]

    for value, expected in zip(*jax.jit(both)(x, kernel), strict=True):
        # sums of at most 3·6·7·9 products of size 1 in float32
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("side", "k", "out"),
    [((5, 6), 3, 5), ((5, 6), 3, 2), ((2, 2), 3, 5), ((1, 4), 3, 2), ((4, 3), 2, 5), ((3, 6), 2, 2)],
)
def test_values_and_gradients_are_those_of_lax_for_images_larger_and_smaller_than_the_kernel(side, k, out):
    assert_same(convolve, plain, normal(0, 3, *side, 4), normal(1, k, k, 4, out))


@pytest.mark.parametrize("side", [(3, 4), (1, 1)])
def test_the_kernel_of_doubled_images_is_that_of_images_doubled_first(side):
    x, kernel = normal(2, 2, *side, 3), normal(3, 3, 3, 3, 4)
    assert_same(convolve_doubled, lambda x, kernel: plain(doubled(x), kernel), x, kernel)


def test_doubled_images_cost_less_than_half():
    x, kernel = jnp.zeros((1, 16, 16, 8)), jnp.zeros((3, 3, 8, 8))
    flops = [
        jax.jit(f).lower(x, kernel).cost_analysis()["flops"]
        for f in (convolve_doubled, lambda x, k: plain(doubled(x), k))
    ]
    assert flops[0] < 0.6 * flops[1]  # 4/9, and a border of one cell


def test_modules_share_their_parameters_and_add_a_bias():
    x = normal(4, 2, 4, 3, 3)
    params = Conv(5).init(jax.random.key(5), x)
    params = {"params": params["params"] | {"bias": jnp.arange(5.0)}}
    expected = plain(doubled(x), params["params"]["kernel"]) + jnp.arange(5.0)[None, None, None]
    np.testing.assert_allclose(UpConv(5).apply(params, x), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(Conv(5).apply(params, doubled(x)), expected, rtol=1e-4, atol=1e-4)


def test_a_narrow_dtype_computes_narrowly_from_wide_parameters():
    x = normal(6, 1, 4, 4, 2)
    network = Conv(3, dtype=jnp.bfloat16)
    params = jax.eval_shape(network.init, jax.random.key(7), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert jax.eval_shape(network.apply, params, x).dtype == jnp.bfloat16
    assert jax.eval_shape(Conv(3).apply, params, x).dtype == jnp.float32


def test_the_gradient_within_a_loop_runs_in_the_fast_order():
    def step(kernel, _):
        return kernel - jax.grad(lambda kernel: convolve(x, kernel).sum())(kernel), None

    x, kernel = normal(8, 4, 6, 6, 3), normal(9, 3, 3, 3, 5)
    text = jax.jit(lambda kernel: lax.scan(step, kernel, None, length=2)[0]).lower(kernel).compile().as_text()
    labels = [line.split("dim_labels=")[1].split(",")[0] for line in text.splitlines() if " convolution(" in line]
    assert jax.default_backend() != "cpu" or set(labels) == {"b01f_01io->b01f"}
