"""What the PyTorch sides share: the usual loop of training, time features and the perceptron of the plane."""

import copy
import math
from collections.abc import Callable
from typing import Any

from benchmarks.table import peer

RATE, CLIP, EMA = 1e-3, 1.0, 0.999  # the defaults of this library


def fitted(network: Any, loss: Callable[[Any], Any], steps: int, rate: float = RATE) -> Any:
    """The average of `network` after so many steps on `loss(network)`, which draws its own batch; in place."""
    torch = peer("torch")
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for t in range(steps):
        optimizer.zero_grad()
        loss(network).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        with torch.no_grad():
            pairs = list(average.parameters()), list(network.parameters())
            torch._foreach_lerp_(*pairs, 1 - min(EMA, (1 + t) / (10 + t)))
    return average


def time_features(time: Any) -> Any:
    """Those of `networks.mlp`, of times `[n]`."""
    torch = peer("torch")
    angle = 2 * math.pi * time[:, None] * 2.0 ** torch.linspace(-1, 5, 16)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def denoiser(width: int, depth: int) -> Any:
    """`TimeMLP(width, depth)` for points of the plane, begun as flax begins it."""
    torch = peer("torch")
    nn, silu = torch.nn, torch.nn.functional.silu

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.point, self.time = nn.Linear(2, width), nn.Linear(32, width, bias=False)
            self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
            self.out = nn.Linear(width, 2)
            for name, values in self.named_parameters():
                zero = name.endswith("bias") or name == "out.weight"
                nn.init.normal_(values, std=0.0 if zero else values.shape[1] ** -0.5)

        def forward(self, x, features):
            h = silu(self.point(x) + self.time(features))
            for layer in self.layers:
                h = h + silu(layer(h))
            return self.out(h)

    return Denoiser()
