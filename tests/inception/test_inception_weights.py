import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import metrics
from curated_retraining.inception.network import Inception
from curated_retraining.inception.weights import _shapes, inception_features, parameters
from curated_retraining.types import Dataset, Generation

UNIT = "Conv2d_3b_1x1"  # 64 -> 80 channels, each pixel by itself


@pytest.fixture(scope="module")
def tensors():
    """The tensors of the port by its names, as zeros that take no memory, but those of `UNIT` drawn."""
    shapes = _shapes()  # tested below
    generator = np.random.default_rng(0)
    zero = np.zeros((), np.float32)
    drawn = {
        name: generator.uniform(0.2, 2, shape).astype(np.float32)
        if name.startswith(UNIT)
        else np.broadcast_to(zero, shape)
        for name, shape in shapes.items()
    }
    return drawn | {f"{UNIT}.bn.num_batches_tracked": np.array(0)}  # there or not


def test_names_and_shapes_are_those_of_the_port(tensors):
    assert len(tensors) == 94 * 5 + 2 + 1
    assert sum(value.size for value in tensors.values()) == 23_885_392 + 1
    some = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_1a_3x3.bn.running_var": (32,),
        "Mixed_6c.branch7x7_3.conv.weight": (192, 160, 7, 1),
        "Mixed_7c.branch_pool.bn.weight": (192,),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: tensors[name].shape for name in some} == some


def test_batch_norm_is_multiplied_in(tensors):
    folded = parameters(tensors, "here")["params"]
    assert folded["Mixed_7b.branch3x3dbl_3a"]["kernel"].shape == (1, 3, 384, 384)
    x = np.random.default_rng(1).normal(size=(7, 64))
    weight, bias, mean, variance = (
        tensors[f"{UNIT}.bn.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    y = x @ tensors[f"{UNIT}.conv.weight"][:, :, 0, 0].T
    expected = weight * (y - mean) / np.sqrt(variance + 1e-3) + bias
    np.testing.assert_allclose(
        x @ np.asarray(folded[UNIT]["kernel"][0, 0], np.float64) + np.asarray(folded[UNIT]["bias"]), expected, rtol=1e-4
    )


EXPECTED = [  # features 0, 409, ... of two images, then mean and standard deviation of all
    [14.34732151, 0.36596522, 0.0, 5.84238243, 0.39430666, 0.77704853],
    [14.54139328, 0.36041489, 0.0, 6.0211482, 0.34101897, 0.82749224],
]
EXPECTED_MOMENTS = [12.06033536, 16.68017557]


def hashed(size, seed):
    """Numbers in [0, 1) that look random and are the same everywhere."""
    return np.modf(np.sin(np.arange(1, size + 1) * 12.9898 + seed) * 43758.5453)[0] % 1


def test_features_are_those_of_pytorch(tensors):
    """For the same weights and image: torchvision 0.28 with the pools of pytorch-fid, on PyTorch 2.13."""
    weights = {}
    for seed, name in enumerate(sorted(tensors)):
        value = hashed(tensors[name].size, seed).reshape(tensors[name].shape)
        if name.endswith("conv.weight"):
            value = (value - 0.5) * np.sqrt(24 / value[0].size)  # keeps the size of what goes through
        elif name.endswith(("bn.weight", "bn.running_var")):
            value = value + 0.5
        else:
            value = value - 0.5
        weights[name] = value.astype(np.float32)
    x = 2 * hashed(2 * 40 * 32 * 3, 0.5).reshape(2, 40, 32, 3).astype(np.float32) - 1
    features = np.asarray(jax.jit(Inception().apply)(parameters(weights, "here"), x), np.float64)
    np.testing.assert_allclose(features[:, ::409], EXPECTED, rtol=1e-4)
    np.testing.assert_allclose([features.mean(), features.std()], EXPECTED_MOMENTS, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fc.bias", np.zeros(1000, np.float32), "fc.bias is float32[1000], not float32[1008] (1 such names)"),
        ("AuxLogits.fc.bias", np.zeros(9, np.float32), "AuxLogits.fc.bias is float32[9], not absent"),
        (f"{UNIT}.bn.bias", None, "bn.bias is absent, not float32[80]"),
        (f"{UNIT}.conv.weight", np.zeros((64, 80, 1, 1), np.float32), "[64, 80, 1, 1], not float32[80, 64, 1, 1]"),
        (f"{UNIT}.bn.weight", np.zeros(80, np.int64), "bn.weight is int64[80], not float32[80]"),
    ],
)
def test_another_architecture_is_refused(tensors, name, value, said):
    other = {key: array for key, array in tensors.items() if key != name}
    if value is not None:
        other[name] = value
    with pytest.raises(ValueError, match=rf"here is not the Inception of the FID: .*{re.escape(said)}.*take pt_incep"):
        parameters(other, "here")


@pytest.mark.parametrize(
    ("part", "value"), [("conv.weight", np.nan), ("bn.running_mean", np.inf), ("bn.running_var", -1)]
)
def test_values_that_no_network_has_are_refused(tensors, part, value):
    name = f"{UNIT}.{part}"
    with pytest.raises(ValueError, match=f"here has values in {name} that are not finite, or negative variances"):
        parameters(tensors | {name: np.full_like(tensors[name], value)}, "here")


def test_features_are_those_of_the_frechet_distance_with_weights_as_inputs(tensors, tmp_path):
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, **tensors)
    features = inception_features(path)
    assert len(jax.tree.leaves(features)) == 2 * 94
    pool = jax.ShapeDtypeStruct((6, 32, 32, 3), jnp.float32)
    reference = metrics.Moments(jnp.zeros(2048), jnp.zeros((2048, 2048)))
    record = Generation((), pool, pool, Dataset(pool, pool), Dataset(pool, pool))
    report = jax.eval_shape(metrics.frechet(features, reference, chunk=2), record)
    assert report["frechet_distance"].shape == ()


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.pth cannot be read"):
        inception_features(tmp_path / "absent.pth")
