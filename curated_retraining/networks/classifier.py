"""A small residual convolutional network that names what an image shows."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from curated_retraining.networks.conv import Conv


class Classifier(nn.Module):
    """Logits `[n, classes]` of images `[n, h, w, c]` in [−1, 1], by one residual stage a width, each at half the size.

    Images of 16 pixels or more are first folded to half their size, 2×2 pixels to four times the channels. Group norm
    keeps no statistics of batches: `apply` is pure and treats each image alone.
    """

    classes: int
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: int = 1

    def setup(self):
        """The trunk and the linear layer on top of it."""
        self.trunk = Trunk(self.widths, self.blocks)
        self.head = nn.Dense(self.classes, kernel_init=nn.initializers.zeros)

    def __call__(self, x: Array) -> Array:
        return self.head(self.trunk(x))

    @nn.nowrap
    def features(self, params: Any, x: Array) -> Array:
        """The penultimate layer `[n, widths[-1]]` of images `x`, of which the logits are a linear function."""
        return jnp.asarray(Trunk(self.widths, self.blocks).apply({"params": params["params"]["trunk"]}, x))


class Trunk(nn.Module):
    """Features `[n, widths[-1]]` of images `[n, h, w, c]`."""

    widths: tuple[int, ...]
    blocks: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = Conv(self.widths[0])(fold(x) if min(x.shape[1:3]) >= 16 else x)
        for stage, width in enumerate(self.widths):
            if stage:
                h = nn.avg_pool(h, (2, 2), (2, 2), "SAME", count_include_pad=False)
            for _ in range(self.blocks):
                h = Block(width)(h)
        return nn.silu(norm(h.shape[-1])(h)).mean((1, 2))


class Block(nn.Module):
    """Two convolutions beside a shortcut, normalised first (He et al. 2016); it starts as the shortcut alone."""

    out: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = Conv(self.out)(nn.silu(norm(x.shape[-1])(x)))
        h = Conv(self.out, kernel_init=nn.initializers.zeros)(nn.silu(norm(self.out)(h)))
        shortcut = x if x.shape[-1] == self.out else nn.Dense(self.out)(x)
        return shortcut + h


def norm(channels: int) -> nn.GroupNorm:
    """Group norm over up to eight groups of `channels`, of four or more each: alone, a channel would lose its level."""
    return nn.GroupNorm(math.gcd(8, max(1, channels // 4), channels))


def fold(x: Array) -> Array:
    """Each 2×2 pixels as one of four times the channels: `[n, h, w, c] -> [n, ⌈h / 2⌉, ⌈w / 2⌉, 4c]`."""
    n, h, w, c = x.shape
    even = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    cells = even.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c)
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(n, (h + 1) // 2, (w + 1) // 2, 4 * c)
