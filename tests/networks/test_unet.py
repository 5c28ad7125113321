import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import curated_retraining as cr
from curated_retraining.networks import unet
from curated_retraining.networks.mlp import time_features
from curated_retraining.networks.unet import Attention, GroupNorm, InParts, UNet, fold, unfold

X = jax.random.normal(jax.random.key(0), (4, 6, 5, 2))
TIME = jnp.linspace(0, 1, 4)
SMALL = UNet(channels=8, multipliers=(1, 2), blocks=1, attention=(3,), head_channels=8)


def untied(params):
    """Parameters with noise, so that no layer is zero any longer."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.2, leaf.shape).astype(np.float32), params)


@pytest.fixture(scope="module")
def small():
    """Parameters and the compiled network."""
    return jax.jit(SMALL.init)(jax.random.key(1), X, time_features(TIME)), jax.jit(SMALL.apply)


def shapes(network, *event, features=32):
    """Parameters and output of a network on three images, without compiling anything."""
    x, time = jnp.zeros((3, *event)), jnp.zeros((1, features))
    params = jax.eval_shape(network.init, jax.random.key(0), x, time)
    return params, jax.eval_shape(network.apply, params, x, time)


def count(params):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def test_paper_preset_has_the_size_of_torchcfm():
    # torchcfm's UNetModelWrapper for CIFAR-10 counts 35,746,307 with its 128 time features
    assert count(shapes(unet.paper(), 32, 32, 3, features=128)[0]) == 35_746_307


@pytest.mark.parametrize(("patch", "event"), [(2, (32, 32, 3)), (2, (28, 28, 1)), (1, (8, 8, 1))])
def test_cpu_preset_has_about_a_million_parameters_for_every_data_set(patch, event):
    params, out = shapes(unet.cpu(patch), *event)
    assert 0.8e6 < count(params) < 1.3e6
    assert out.shape == (3, *event)


@pytest.mark.parametrize(("patch", "event"), [(1, (1, 1, 1)), (1, (5, 9, 2)), (2, (7, 7, 1)), (3, (13, 2, 3))])
def test_any_size_keeps_its_shape(patch, event):
    assert shapes(SMALL.clone(patch=patch), *event)[1].shape == (3, *event)


def test_a_narrow_dtype_keeps_wide_parameters_and_results():
    params, out = shapes(unet.cpu(dtype=jnp.bfloat16), 32, 32, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, out))} == {jnp.dtype("float32")}
    x, time = jnp.zeros((3, 32, 32, 3)), jnp.zeros((1, 32))
    text = str(jax.make_jaxpr(unet.cpu(dtype=jnp.bfloat16).apply)(params, x, time))
    results = [line.split("=")[0] for line in text.splitlines() if "= conv_general_dilated" in line]
    assert results and all("bf16" in result for result in results)


def test_starts_at_zero(small):
    params, apply = small
    np.testing.assert_array_equal(apply(params, X, time_features(TIME)), np.zeros(X.shape))


def test_treats_each_image_alone(small):
    params, apply = untied(small[0]), small[1]
    out, changed = (np.asarray(apply(params, x, time_features(TIME))) for x in (X, X.at[2].add(1.0)))
    alone = np.arange(4) != 2
    np.testing.assert_allclose(out[alone], changed[alone], rtol=1e-5, atol=1e-5)
    assert np.abs(out[2] - changed[2]).max() > 0.1


def test_reads_the_time_and_one_time_stands_for_all(small):
    params, apply = untied(small[0]), small[1]
    one, other = (apply(params, X, time_features(TIME[i : i + 1])) for i in (1, 2))
    np.testing.assert_allclose(one, apply(params, X, time_features(jnp.full(4, TIME[1]))), rtol=1e-4, atol=1e-4)
    assert np.abs(one - other).max() > 0.1


def test_parts_of_a_batch_give_what_the_whole_gives_with_the_same_parameters(small):
    params, whole = small
    params = untied(params)
    parts = InParts(SMALL, 2)
    init = jax.eval_shape(parts.init, jax.random.key(1), X, time_features(TIME))
    assert jax.tree.structure(init) == jax.tree.structure(params)
    for time in (time_features(TIME), time_features(TIME[1:2])):
        # sums of a few hundred products of size 1 in float32
        np.testing.assert_allclose(jax.jit(parts.apply)(params, X, time), whole(params, X, time), rtol=1e-4, atol=1e-4)
    convolutions = [
        str(jax.make_jaxpr(parts.apply)(params, X[:n], time_features(TIME[:1]))).count("conv_general") for n in (3, 4)
    ]
    assert convolutions[1] == 2 * convolutions[0]  # three do not split


def test_attention_carries_between_distant_pixels_and_knows_no_order():
    x = jax.random.normal(jax.random.key(2), (1, 3, 3, 8))
    network = Attention(4, jnp.float32)
    params, apply = untied(jax.jit(network.init)(jax.random.key(3), x)), jax.jit(network.apply)
    out = apply(params, x)
    order = np.random.default_rng(0).permutation(9)
    shuffled = apply(params, x.reshape(1, 9, 8)[:, order].reshape(x.shape))
    np.testing.assert_allclose(shuffled.reshape(9, 8), out.reshape(9, 8)[order], rtol=1e-4, atol=1e-5)
    kernels = {name: layer["kernel"] for name, layer in params["params"].items() if "kernel" in layer}
    biases = {name: params["params"][name]["bias"] for name in kernels}
    h = np.asarray(GroupNorm(jnp.float32).apply({"params": params["params"]["GroupNorm_0"]}, x)).reshape(9, 8)
    q, k, v = np.split(np.asarray(h @ kernels["Dense_0"] + biases["Dense_0"][None]), 3, axis=-1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weight = np.exp(q[:, part] @ k[:, part].T / 2)  # √4
        heads.append(weight / weight.sum(1, keepdims=True) @ v[:, part])
    expected = x.reshape(9, 8) + np.concatenate(heads, 1) @ kernels["Dense_1"] + biases["Dense_1"][None]
    np.testing.assert_allclose(out.reshape(9, 8), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("c", "groups"), [(8, 2), (24, 2), (256, 32), (3, 1)])
def test_group_norm_is_that_of_the_definition(c, groups):
    x = 3 + 2 * jax.random.normal(jax.random.key(4), (2, 3, 4, c))
    params = untied({"params": {"scale": np.ones(c, np.float32), "bias": np.zeros(c, np.float32)}})
    each = np.asarray(x, float).reshape(2, 12, groups, -1)
    z = (each - each.mean((1, 3), keepdims=True)) / np.sqrt(each.var((1, 3), keepdims=True) + 1e-5)
    scale, bias = (np.asarray(params["params"][name]) for name in ("scale", "bias"))
    expected = z.reshape(x.shape) * scale + bias
    np.testing.assert_allclose(GroupNorm(jnp.float32).apply(params, x), expected, rtol=1e-4, atol=1e-4)


def test_cells_are_neighbouring_pixels_and_come_back():
    cells = fold(X, 2)
    assert cells.shape == (4, 3, 3, 8)
    np.testing.assert_array_equal(cells[:, 1, 1], X[:, 2:4, 2:4].reshape(4, 8))
    np.testing.assert_array_equal(unfold(cells, 2, X.shape), X)


def test_a_width_that_does_not_split_into_heads_is_refused():
    with pytest.raises(ValueError, match="head_channels=5 does not divide a width of 16"):
        shapes(SMALL.clone(head_channels=5), 6, 6, 1)


@pytest.mark.parametrize("builder", [cr.flow_matching, cr.ddpm])
def test_both_models_take_it(builder):
    model = builder(SMALL.clone(multipliers=(1,)), steps=2, batch_size=4)

    def one_round(key, x):
        init_key, fit_key, sample_key = jax.random.split(key, 3)
        return model.sample(sample_key, model.fit(fit_key, model.init(init_key, x), cr.uniform(x)), 3)

    assert jax.eval_shape(one_round, jax.random.key(6), X).shape == (3, *X.shape[1:])
