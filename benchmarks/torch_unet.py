"""The library's U-Net written in PyTorch as its users would, for comparison."""

import math
from typing import Any

import numpy as np

from curated_retraining.networks.unet import UNet


def network(torch: Any, shape: UNet, event: tuple[int, ...]) -> Any:
    """`shape` in PyTorch for images of `event` `[h, w, c]` that halve evenly, NCHW; modules are numbered as in flax."""
    nn, functional = torch.nn, torch.nn.functional

    def norm(channels):
        return nn.GroupNorm(math.gcd(32, max(channels // 4, 1)), channels)

    class Block(nn.Module):
        def __init__(self, inner, out):
            super().__init__()
            self.norm = nn.ModuleList([norm(inner), norm(out)])
            self.conv = nn.ModuleList([nn.Conv2d(inner, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)])
            shortcut = [nn.Conv2d(inner, out, 1)] if inner != out else []
            self.dense = nn.ModuleList([nn.Linear(4 * shape.channels, out), *shortcut])

        def forward(self, x, time):
            h = self.conv[0](functional.silu(self.norm[0](x))) + self.dense[0](time)[:, :, None, None]
            h = self.conv[1](functional.silu(self.norm[1](h)))
            return h + (self.dense[1](x) if len(self.dense) == 2 else x)

    class Attention(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm = nn.ModuleList([norm(c)])
            self.dense = nn.ModuleList([nn.Linear(c, 3 * c), nn.Linear(c, c)])

        def forward(self, x):
            n, c, height, width = x.shape
            tokens = self.norm[0](x).flatten(2).transpose(1, 2)
            qkv = self.dense[0](tokens).view(n, height * width, 3, -1, shape.head_channels).permute(2, 0, 3, 1, 4)
            h = functional.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(n, height * width, c)
            return x + self.dense[1](h).transpose(1, 2).view(n, c, height, width)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            cells, widths = (
                shape.patch**2 * event[-1],
                [shape.channels * multiplier for multiplier in shape.multipliers],
            )
            sides = [event[0] // shape.patch // 2**level for level in range(len(widths))]
            self.attends = [side in shape.attention for side in sides]
            conv, block, attention, upconv, skips = [(cells, shape.channels)], [], [], [], [shape.channels]
            width = shape.channels
            for level, out in enumerate(widths):
                if level:
                    conv.append((width, width))
                    skips.append(width)
                for _ in range(shape.blocks):
                    block.append((width, out))
                    attention += [out] * self.attends[level]
                    width = out
                    skips.append(width)
            block += [(width, width)] * 2
            attention.append(width)
            for level, out in reversed(list(enumerate(widths))):
                for _ in range(shape.blocks + 1):
                    block.append((width + skips.pop(), out))
                    attention += [out] * self.attends[level]
                    width = out
                upconv += [(width, width)] * (level > 0)
            conv.append((width, cells))
            hidden = 4 * shape.channels
            self.dense = nn.ModuleList([nn.Linear(32, hidden), nn.Linear(hidden, hidden)])
            self.conv = nn.ModuleList([nn.Conv2d(*pair, 3, padding=1) for pair in conv])
            self.block = nn.ModuleList([Block(*pair) for pair in block])
            self.attention = nn.ModuleList([Attention(c) for c in attention])
            self.upconv = nn.ModuleList([nn.Conv2d(*pair, 3, padding=1) for pair in upconv])
            self.norm = nn.ModuleList([norm(width)])

        def forward(self, x, features):
            time = functional.silu(self.dense[1](functional.silu(self.dense[0](features))))
            conv, block, attention, upconv = map(iter, (self.conv, self.block, self.attention, self.upconv))

            def stage(h, level):
                h = next(block)(h, time)
                return next(attention)(h) if self.attends[level] else h

            n, c, height, width = x.shape
            p = shape.patch
            cells = x.view(n, c, height // p, p, width // p, p).permute(0, 3, 5, 1, 2, 4)
            h = next(conv)(cells.reshape(n, p * p * c, height // p, width // p))
            skips = [h]
            levels = range(len(self.attends))
            for level in levels:
                if level:
                    h = next(conv)(functional.avg_pool2d(h, 2))
                    skips.append(h)
                for _ in range(shape.blocks):
                    h = stage(h, level)
                    skips.append(h)
            h = next(attention)(next(block)(h, time))
            h = next(block)(h, time)
            for level in reversed(levels):
                for _ in range(shape.blocks + 1):
                    h = stage(torch.cat([h, skips.pop()], dim=1), level)
                if level:
                    h = next(upconv)(functional.interpolate(h, scale_factor=2))
            h = next(conv)(functional.silu(self.norm[0](h)))
            return h.view(n, p, p, c, *h.shape[2:]).permute(0, 3, 4, 1, 5, 2).reshape(x.shape)

    return Network()


def copied(params: Any, name: str, dim: int) -> Any:
    """The flax parameter of a PyTorch name, in PyTorch's order and with `dim` axes.

    `block.3.conv.0.weight` is `Block_3`, `Conv_0`, `kernel`; a shortcut's matrix becomes a 1×1 kernel.
    """
    *path, last = name.split(".")
    classes = {"norm": "GroupNorm", "upconv": "UpConv"}
    module = params["params"]
    for kind, index in zip(path[::2], path[1::2], strict=True):
        module = module[f"{classes.get(kind, kind.capitalize())}_{index}"]
    leaf = np.asarray(module["bias" if last == "bias" else "scale" if path[-2] == "norm" else "kernel"])
    turned = leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf.T
    return turned.reshape(*turned.shape, *(1,) * (dim - leaf.ndim)).copy()
