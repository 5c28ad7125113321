"""The features of the true FID, from the weights that others published for it."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from curated_retraining.inception import torch_file
from curated_retraining.inception.network import FEATURES, Inception
from curated_retraining.types import State

FILE = "pt_inception-2015-12-05-6726825d.pth"
# Released at https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights in 2019: 95,628,359 bytes, SHA-256
# 6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2, in PyTorch's format without a zip.
CLASSES = 1008  # of its last layer, which no feature needs; torchvision's Inception has 1000
EPSILON = 1e-3  # of its batch norm


def inception_features(path: str | Path) -> Partial:
    """The function from images `[n, h, w, 3]` or `[n, h, w, 1]` in [−1, 1] to the features `[n, 2048]` of the FID.

    `metrics.frechet` of these features is the FID as `pytorch-fid` computes it, but that images go in as they are,
    neither cut to [−1, 1] nor rounded to 8 bits as in files. `chunk` there and elsewhere is best some 32: on a CPU an
    image takes 35 MB, 256 of them 9 GB. The weights are inputs of a program and not part of it.

    Args:
        path: `FILE` (the graph of 2015-12-05 that TensorFlow's FID used, ported by `pytorch-fid`; 96 MB), or the same
            names and shapes in another file that `torch_file.read` reads, such as an `.npz`.

    Raises:
        ValueError: where `path` is not there, is damaged or holds another architecture.
    """
    return Partial(Inception().apply, parameters(torch_file.read(path), str(path)))


def parameters(tensors: dict[str, np.ndarray], path: str) -> State:
    """The parameters of `Inception` from those of the port, batch norm multiplied in; `path` is for messages.

    A convolution W and batch norm γ (y − μ) / √(σ² + ε) + β are one convolution with W γ / √(σ² + ε) and a bias.

    Raises:
        ValueError: where names, shapes or values are not those of the port.
    """
    tensors = {name: value for name, value in tensors.items() if not name.endswith(".num_batches_tracked")}
    _check(tensors, _shapes(), path)
    return {"params": {name: _folded(name, tensors) for name in _kernels()}}


@functools.cache
def _kernels() -> dict[str, tuple[int, ...]]:
    """Names of the convolutions and their shapes `(rows, columns, in, out)`."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    like = jax.eval_shape(Inception().init, jax.random.key(0), image)
    return {name: unit["kernel"].shape for name, unit in like["params"].items()}


def _shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the port's tensors."""
    shapes = {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}
    for name, (rows, columns, channels, out) in _kernels().items():
        shapes[f"{name}.conv.weight"] = (out, channels, rows, columns)
        shapes |= {f"{name}.bn.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes


def _check(tensors: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], path: str) -> None:
    expected = {name: f"float32{list(shape)}" for name, shape in shapes.items()}
    found = {name: f"{value.dtype}{list(value.shape)}" for name, value in tensors.items()}
    other = [name for name in sorted(expected | found) if expected.get(name) != found.get(name)]
    if other:
        name = other[0]
        raise ValueError(
            f"{path} is not the Inception of the FID: {name} is {found.get(name, 'absent')}, not "
            f"{expected.get(name, 'absent')} ({len(other)} such names): take {FILE} of pytorch-fid, not torchvision's"
        )
    for name, value in tensors.items():
        if not np.isfinite(value).all() or (name.endswith(".running_var") and (value < 0).any()):
            raise ValueError(f"{path} has values in {name} that are not finite, or negative variances: fetch it anew")


def _folded(name: str, tensors: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    weight, bias, mean, variance = (
        tensors[f"{name}.bn.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = weight / np.sqrt(variance + EPSILON)
    kernel = tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * gain
    return {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias - mean * gain, jnp.float32)}
