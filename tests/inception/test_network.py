import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining.inception import network as inception
from curated_retraining.inception.network import TRUNK, Fork, Inception, Unit


@pytest.fixture(scope="module")
def shapes():
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(Inception().init, jax.random.key(0), image)


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_names_and_shapes_are_those_of_the_port(shapes):
    kernels = {name: unit["kernel"].shape for name, unit in shapes["params"].items()}
    assert len(kernels) == 94
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 21_768_352  # 21,751,136 in kernels
    some = {
        "Conv2d_1a_3x3": (3, 3, 3, 32),
        "Conv2d_4a_3x3": (3, 3, 80, 192),
        "Mixed_5b.branch_pool": (1, 1, 192, 32),
        "Mixed_5d.branch5x5_2": (5, 5, 48, 64),
        "Mixed_6a.branch3x3": (3, 3, 288, 384),
        "Mixed_6b.branch7x7_2": (1, 7, 128, 128),
        "Mixed_6d.branch7x7dbl_4": (7, 1, 160, 160),
        "Mixed_7a.branch7x7x3_3": (7, 1, 192, 192),
        "Mixed_7b.branch1x1": (1, 1, 1280, 320),
        "Mixed_7c.branch3x3_2b": (3, 1, 384, 384),
        "Mixed_7c.branch3x3dbl_3a": (1, 3, 384, 384),
    }
    assert {name: kernels[name] for name in some} == some


def test_each_part_leaves_images_of_the_published_size():
    class Trail(nn.Module):
        @nn.compact
        def __call__(self, x):
            trail = []
            for step in TRUNK:
                x = inception._through((step,), x)
                trail.append(x)
            return trail

    trail = jax.eval_shape(Trail().init_with_output, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))[0]
    assert [x.shape[1:] for x in trail] == [
        (149, 149, 32),
        (147, 147, 32),
        (147, 147, 64),
        (73, 73, 64),
        (73, 73, 80),
        (71, 71, 192),
        (35, 35, 192),
        (35, 35, 256),
        (35, 35, 288),
        (35, 35, 288),
        *[(17, 17, 768)] * 5,
        (8, 8, 1280),
        (8, 8, 2048),
        (8, 8, 2048),
    ]


@pytest.mark.parametrize("shape", [(5, 28, 28, 1), (2, 340, 420, 3)])
def test_images_of_any_size_have_2048_features(shapes, shape):
    features = jax.eval_shape(Inception().apply, shapes, jax.ShapeDtypeStruct(shape, jnp.float32))
    assert (features.shape, features.dtype) == ((shape[0], 2048), jnp.float32)


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 28, 28, 4)])
def test_other_arrays_are_refused(shapes, shape):
    with pytest.raises(ValueError, match=r"take \[n, h, w, 3\]"):
        jax.eval_shape(Inception().apply, shapes, jax.ShapeDtypeStruct(shape, jnp.float32))


def test_blocks_pool_as_in_the_graph_of_2015():
    """By means of the pixels that there are, but by the largest where it shrinks and in the last block."""
    pools = [branch[0] for fork in TRUNK if isinstance(fork, Fork) for branch in fork.branches[-1:]]
    mean, half = inception.mean_around, inception.halved
    assert pools == [*[mean] * 3, half, *[mean] * 4, half, mean, inception.largest_around]


@pytest.mark.parametrize("side", [32, 400])
def test_an_image_is_resized_between_its_nearest_pixels(side):
    x = images(1, side, side + 3, 2)

    def along(x, axis):
        size = x.shape[axis]
        place = np.clip((np.arange(299) + 0.5) * size / 299 - 0.5, 0, size - 1)
        before = np.floor(place).astype(int)
        share = (place - before).reshape(-1, *[1] * (x.ndim - 1 - axis))
        after = np.minimum(before + 1, size - 1)
        return (1 - share) * x.take(before, axis) + share * x.take(after, axis)

    expected = along(along(x.astype(np.float64), 1), 2)
    np.testing.assert_allclose(inception.resized(jnp.asarray(x)), expected, atol=2e-4)


def test_an_image_of_the_right_size_stays_as_it_is():
    x = jnp.asarray(images(1, 299, 299, 1))
    np.testing.assert_array_equal(inception.resized(x), x)


@pytest.mark.parametrize(
    ("pool", "of", "stride", "border"),
    [
        (inception.mean_around, np.mean, 1, 1),
        (inception.largest_around, np.max, 1, 1),
        (inception.halved, np.max, 2, 0),
    ],
)
def test_pools_by_hand(pool, of, stride, border):
    x = images(1, 5, 8, 2) - 2  # negative throughout: a zero beyond the border would be the largest
    rows, columns = (range(1 - border, size - 1 + border, stride) for size in (5, 8))
    expected = [[of(x[0, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2], (0, 1)) for j in columns] for i in rows]
    np.testing.assert_allclose(pool(jnp.asarray(x))[0], expected, rtol=1e-6)


def test_a_convolution_adds_its_bias_and_cuts_what_is_negative_and_a_fork_keeps_its_order():
    class Small(nn.Module):
        @nn.compact
        def __call__(self, x):
            crossed = Fork(
                ((Unit("wide", 3, (1, 3)),), (Unit("strict", 2, (1, 3), 1, "VALID"), lambda x: x.repeat(2, 2)))
            )
            return inception._through((crossed,), x)

    x = images(1, 2, 4, 2)
    params = Small().init(jax.random.key(1), x)
    params["params"]["wide"]["bias"] = jnp.array([0.1, 0.2, -0.3])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))

    def convolved(unit, x):
        kernel, bias = np.asarray(unit["kernel"][0]), np.asarray(unit["bias"])
        windows = [np.einsum("nhkc,kco->nho", x[:, :, j : j + 3], kernel) for j in range(x.shape[2] - 2)]
        return np.maximum(np.stack(windows, 2) + bias, 0)

    wide, strict = (convolved(params["params"][name], of) for name, of in (("wide", padded), ("strict", x)))
    expected = np.concatenate([wide, strict.repeat(2, 2)], -1)
    np.testing.assert_allclose(Small().apply(params, x), expected, atol=1e-6)
