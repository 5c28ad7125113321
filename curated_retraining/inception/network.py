"""The Inception-v3 whose features the Fréchet inception distance (FID) is defined by."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

SIDE = 299  # pixels that the network reads
FEATURES = 2048


class Inception(nn.Module):
    """Features `[n, 2048]` of images `[n, h, w, 3]` in [−1, 1] (or `[n, h, w, 1]`, taken for grey) of any size.

    Inception-v3 (Szegedy et al. 2016) up to its last mean over pixels ("pool3"), in the variant that Heusel et al.
    (2017) took and `pytorch-fid` ported: average pools leave zeros beyond the border out, and the last block has a
    maximum in the place of the average. Batch norm is part of kernels and biases, whose names are those of the port.
    Values beyond [−1, 1] go in as they are.

    It computes in float32 on every backend, 11 GFLOP and on a CPU some 35 MB of memory an image.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if x.ndim != 4 or x.shape[-1] not in (1, 3):
            raise ValueError(f"images of shape {x.shape} have no colours to look at: take [n, h, w, 3] or [n, h, w, 1]")
        coloured = jnp.broadcast_to(x, (*x.shape[:3], 3)).astype(jnp.float32)
        return _through(TRUNK, resized(coloured)).mean((1, 2))


def resized(x: Array) -> Array:
    """Images `[n, h, w, c]` at 299×299, each pixel from its two nearest both ways, without smoothing where it shrinks.

    Centres of pixels keep their place (PyTorch's `align_corners=False`), and beyond the border its pixels go on. Places
    are float32: they move a value by up to 1e-7 of the side times the slope.
    """
    n, _, _, c = x.shape
    return jax.image.resize(x, (n, SIDE, SIDE, c), "linear", antialias=False)


class Unit(NamedTuple):
    """A convolution with a bias, then a rectifier."""

    name: str
    out: int
    size: tuple[int, int] = (1, 1)
    stride: int = 1
    border: str = "SAME"  # zeros beyond it so that the size stays, or "VALID" for none


class Fork(NamedTuple):
    """Branches that read the same; their channels are put together in this order."""

    branches: tuple["Steps", ...]


Pool = Callable[[Array], Array]
Steps = tuple[Unit | Fork | Pool, ...]


def mean_around(x: Array) -> Array:
    """The mean of the 3×3 pixels around each, of those that there are."""
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def largest_around(x: Array) -> Array:
    """The largest of the 3×3 pixels around each."""
    return nn.max_pool(x, (3, 3), padding="SAME")


def halved(x: Array) -> Array:
    """The largest of 3×3 pixels at every other place that has them all."""
    return nn.max_pool(x, (3, 3), (2, 2))


def _mixed_5(name: str, pooled: int) -> Fork:
    return _fork(
        name,
        (Unit("branch1x1", 64),),
        (Unit("branch5x5_1", 48), Unit("branch5x5_2", 64, (5, 5))),
        (Unit("branch3x3dbl_1", 64), Unit("branch3x3dbl_2", 96, (3, 3)), Unit("branch3x3dbl_3", 96, (3, 3))),
        (mean_around, Unit("branch_pool", pooled)),
    )


def _mixed_6(name: str, width: int) -> Fork:
    return _fork(
        name,
        (Unit("branch1x1", 192),),
        (Unit("branch7x7_1", width), Unit("branch7x7_2", width, (1, 7)), Unit("branch7x7_3", 192, (7, 1))),
        (
            Unit("branch7x7dbl_1", width),
            Unit("branch7x7dbl_2", width, (7, 1)),
            Unit("branch7x7dbl_3", width, (1, 7)),
            Unit("branch7x7dbl_4", width, (7, 1)),
            Unit("branch7x7dbl_5", 192, (1, 7)),
        ),
        (mean_around, Unit("branch_pool", 192)),
    )


def _mixed_7(name: str, pool: Pool) -> Fork:
    def cross(stem: str) -> Fork:
        return Fork(((Unit(f"{stem}a", 384, (1, 3)),), (Unit(f"{stem}b", 384, (3, 1)),)))

    return _fork(
        name,
        (Unit("branch1x1", 320),),
        (Unit("branch3x3_1", 384), cross("branch3x3_2")),
        (Unit("branch3x3dbl_1", 448), Unit("branch3x3dbl_2", 384, (3, 3)), cross("branch3x3dbl_3")),
        (pool, Unit("branch_pool", 192)),
    )


def _fork(name: str, *branches: Steps) -> Fork:
    """The branches, with the names of their convolutions after that of the block."""

    def named(step):
        match step:
            case Unit():
                return step._replace(name=f"{name}.{step.name}")
            case Fork(inner):
                return _fork(name, *inner)
        return step

    return Fork(tuple(tuple(named(step) for step in branch) for branch in branches))


TRUNK: Steps = (
    Unit("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),
    Unit("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),
    Unit("Conv2d_2b_3x3", 64, (3, 3)),
    halved,
    Unit("Conv2d_3b_1x1", 80),
    Unit("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"),
    halved,
    _mixed_5("Mixed_5b", 32),
    _mixed_5("Mixed_5c", 64),
    _mixed_5("Mixed_5d", 64),
    _fork(
        "Mixed_6a",
        (Unit("branch3x3", 384, (3, 3), 2, "VALID"),),
        (
            Unit("branch3x3dbl_1", 64),
            Unit("branch3x3dbl_2", 96, (3, 3)),
            Unit("branch3x3dbl_3", 96, (3, 3), 2, "VALID"),
        ),
        (halved,),
    ),
    _mixed_6("Mixed_6b", 128),
    _mixed_6("Mixed_6c", 160),
    _mixed_6("Mixed_6d", 160),
    _mixed_6("Mixed_6e", 192),
    _fork(
        "Mixed_7a",
        (Unit("branch3x3_1", 192), Unit("branch3x3_2", 320, (3, 3), 2, "VALID")),
        (
            Unit("branch7x7x3_1", 192),
            Unit("branch7x7x3_2", 192, (1, 7)),
            Unit("branch7x7x3_3", 192, (7, 1)),
            Unit("branch7x7x3_4", 192, (3, 3), 2, "VALID"),
        ),
        (halved,),
    ),
    _mixed_7("Mixed_7b", mean_around),
    _mixed_7("Mixed_7c", largest_around),
)


def _through(steps: Steps, x: Array) -> Array:
    for step in steps:
        match step:
            case Unit(name, out, size, stride, border):
                exact = jax.lax.Precision.HIGHEST  # the default of accelerators rounds to 10 bits
                x = nn.relu(nn.Conv(out, size, stride, border, precision=exact, name=name)(x))
            case Fork(branches):
                x = jnp.concatenate([_through(branch, x) for branch in branches], axis=-1)
            case pool:
                x = pool(x)
    return x
