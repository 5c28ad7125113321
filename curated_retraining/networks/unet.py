"""A U-Net for images that takes a time (Ho et al. 2020; Dhariwal, Nichol 2021), and two presets of it."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from curated_retraining.networks.conv import Conv, UpConv


class UNet(nn.Module):
    """A U-Net from images `[n, h, w, c]` and time features `[n, f]`, or `[1, f]` for all, to `[n, h, w, c]`.

    Residual blocks with group norm, at each level `blocks` on the way down and one more on the way up, where they also
    read what the way down had left; between them, at the bottom, two blocks and self-attention. The last layer starts
    at zero. Any size will do: each level has half the side of the one above it, rounded up with the border repeated,
    and on the way up the surplus row and column are cut off again.

    Attributes:
        channels: the width of the first level.
        multipliers: the width of each level in units of `channels`; their number is that of levels.
        blocks: residual blocks a level.
        attention: the sides (pixels, or cells where `patch` > 1) of levels whose blocks are followed by self-attention.
        head_channels: channels of an attention head; widths that attend are multiples of it.
        patch: each `patch`×`patch` pixels are one cell of `patch`² · c channels to the network, which then costs about
            `patch`² times less; 2 suits images of 16 pixels or more, 1 smaller ones. Sizes that are no multiple of it
            are continued by their last row and column, and cut again at the end.
        dtype: what it computes in; bfloat16 suits accelerators. Parameters and results are float32, and so are the
            sums of group norm.

    Raises:
        ValueError: where a width that attends does not split into heads.
    """

    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention: tuple[int, ...] = ()
    head_channels: int = 32
    patch: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, features: Array) -> Array:
        time = nn.silu(nn.Dense(4 * self.channels, dtype=self.dtype)(features))
        time = nn.silu(nn.Dense(4 * self.channels, dtype=self.dtype)(time))

        def stage(h, out):
            h = Block(out, self.dtype)(h, time)
            return Attention(self.head_channels, self.dtype)(h) if h.shape[1] in self.attention else h

        widths = [self.channels * multiplier for multiplier in self.multipliers]
        cells = fold(x, self.patch)
        h = Conv(self.channels, dtype=self.dtype)(cells)
        skips = [h]
        for level, width in enumerate(widths):
            if level:
                h = Conv(h.shape[-1], dtype=self.dtype)(_halved(h))
                skips.append(h)
            for _ in range(self.blocks):
                h = stage(h, width)
                skips.append(h)
        h = Block(h.shape[-1], self.dtype)(h, time)
        h = Attention(self.head_channels, self.dtype)(h)
        h = Block(h.shape[-1], self.dtype)(h, time)
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(self.blocks + 1):
                h = stage(jnp.concatenate([h, skips.pop()], axis=-1), width)
            if level:
                rows, columns = skips[-1].shape[1:3]
                h = UpConv(width, dtype=self.dtype)(h)[:, :rows, :columns]
        h = nn.silu(GroupNorm(self.dtype)(h))
        h = Conv(cells.shape[-1], nn.initializers.zeros, self.dtype)(h)
        return unfold(h, self.patch, x.shape).astype(jnp.promote_types(x.dtype, jnp.float32))


class InParts(nn.Module):
    """`network`, with its parameters, applied to `num` parts of a batch that are independent in the program.

    A CPU then works on one part while another waits for its cores to meet at the end of an operation, and a part fits
    its caches. The result is that of the whole batch up to rounding. A batch that does not split stays whole.
    """

    network: UNet
    num: int = 2

    def setup(self):
        nn.share_scope(self, self.network)

    def __call__(self, x: Array, features: Array) -> Array:
        """As `UNet`: images `[n, h, w, c]` and features `[n, f]` or `[1, f]` to `[n, h, w, c]`."""
        if x.shape[0] % self.num:
            return self.network(x, features)
        times = [features] * self.num if features.shape[0] == 1 else jnp.split(features, self.num)
        return jnp.concatenate(list(map(self.network, jnp.split(x, self.num), times)))


def paper(dtype: DTypeLike = jnp.float32) -> UNet:
    """The network of the CIFAR-10 experiments: 35.7 M parameters, 11 GFLOP a forward pass of a 32×32×3 image."""
    return UNet(128, (1, 2, 2, 2), blocks=2, attention=(16,), head_channels=64, dtype=dtype)


def cpu(patch: int = 2, dtype: DTypeLike = jnp.float32) -> InParts:
    """A network of 1.0 M parameters for two CPU cores: 0.05 GFLOP a forward pass of a 32×32×3 image.

    Take `patch=1` for images below 16 pixels. Most parameters sit at the lowest levels, where they
    cost little.
    """
    return InParts(UNet(24, (1, 1, 2, 3), blocks=1, attention=(4,), head_channels=24, patch=patch, dtype=dtype))


class Block(nn.Module):
    """Two convolutions beside a shortcut, the time added between them; it starts as the shortcut alone."""

    out: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, time: Array) -> Array:
        h = Conv(self.out, dtype=self.dtype)(nn.silu(GroupNorm(self.dtype)(x)))
        h = h + nn.Dense(self.out, dtype=self.dtype)(time)[:, None, None]
        h = Conv(self.out, nn.initializers.zeros, self.dtype)(nn.silu(GroupNorm(self.dtype)(h)))
        return h + (x if x.shape[-1] == self.out else nn.Dense(self.out, dtype=self.dtype)(x))


class Attention(nn.Module):
    """Self-attention among the pixels of `[n, h, w, c]` beside a shortcut; it starts as the shortcut alone."""

    head_channels: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        n, height, width, c = x.shape
        if c % self.head_channels:
            raise ValueError(
                f"head_channels={self.head_channels} does not divide a width of {c}: "
                "take a divisor of every width that attends"
            )
        qkv = nn.Dense(3 * c, dtype=self.dtype)(GroupNorm(self.dtype)(x))
        qkv = qkv.reshape(n, height * width, 3, c // self.head_channels, self.head_channels)
        h = jax.nn.dot_product_attention(*(qkv[:, :, i] for i in range(3)))
        return x + nn.Dense(c, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h.reshape(x.shape))


class GroupNorm(nn.Module):
    """Group norm of `[n, h, w, c]` over up to 32 groups of at least four channels, with a gain and shift a channel.

    Written as one gain and one shift a channel and image, so that normalising is one pass that XLA fuses with what
    follows.
    """

    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        c = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        wide = x.astype(jnp.float32)
        mean, square = (_within_groups(moment) for moment in (wide.mean((1, 2)), (wide**2).mean((1, 2))))
        gain = jax.lax.rsqrt(jnp.maximum(square - mean**2, 0) + 1e-5) * scale[None]
        shift = bias[None] - mean * gain
        return (wide * gain[:, None, None] + shift[:, None, None]).astype(self.dtype)


def fold(x: Array, patch: int) -> Array:
    """Each `patch`×`patch` pixels as one cell: `[n, h, w, c] -> [n, ⌈h / patch⌉, ⌈w / patch⌉, patch² · c]`.

    Sides that are no multiple of `patch` are continued by their last row and column.
    """
    n, h, w, c = x.shape
    whole = jnp.pad(x, ((0, 0), (0, -h % patch), (0, -w % patch), (0, 0)), mode="edge")
    rows, columns = whole.shape[1] // patch, whole.shape[2] // patch
    cells = whole.reshape(n, rows, patch, columns, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(n, rows, columns, patch**2 * c)


def unfold(cells: Array, patch: int, shape: tuple[int, ...]) -> Array:
    """The inverse of `fold` to images of `shape` `[n, h, w, c]`; what `fold` had added is cut off."""
    n, h, w, c = shape
    rows, columns = cells.shape[1:3]
    pixels = cells.reshape(n, rows, columns, patch, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return pixels.reshape(n, rows * patch, columns * patch, c)[:, :h, :w]


def _halved(x):
    n, h, w, c = x.shape
    even = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return even.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean((2, 4))


def _within_groups(x):
    """The mean of `x` `[n, c]` within each group of channels, repeated for each of them."""
    n, c = x.shape
    each = x.reshape(n, math.gcd(32, max(c // 4, 1)), -1)
    return jnp.broadcast_to(each.mean(-1, keepdims=True), each.shape).reshape(n, c)
