"""Training and sampling steps of the cpu-preset U-Net against PyTorch.

Both sides run the same network (weights are copied over and outputs compared) on 32×32×3 images in batches of 128:
flow matching with Adam, clipping and an average, and Euler steps from noise, on all cores, in one process and by turns.
The PyTorch side is what its users write: an eager loop, `torch.no_grad`, default threads, in the faster of its two
memory formats.
"""

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from benchmarks import torch_training, torch_unet
from benchmarks.ddpm import Side
from benchmarks.table import Row, peer, seconds
from curated_retraining.models.solvers import euler
from curated_retraining.networks import unet
from curated_retraining.networks.mlp import time_features

SHAPE, BATCH, STEPS, POINTS = (32, 32, 3), 128, 5, 512  # steps of each kind a call
RATE = 2e-4
NETWORK = unet.cpu()


def rows(repeats: int) -> list[Row]:
    """A training step and a sampling step."""
    torch = peer("torch")
    x = np.random.default_rng(0).uniform(-1, 1, (POINTS, *SHAPE)).astype(np.float32)
    params = untied(NETWORK)
    twin = Twin(torch, params)
    num = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert num == sum(values.numel() for values in twin.network.parameters())
    quality = f"{num:,} parameters each, outputs differ by {difference(torch, params, twin, x):.0e} of their sd"

    formats = [torch.contiguous_format, torch.channels_last]
    sides = [ours(x), *(twin.side(x, memory) for memory in formats)]
    calls = np.array([[one_call(side, seed) for side in sides] for seed in range(repeats + 1)])
    first, rest = calls[0], np.median(calls[1:], axis=0)  # the first call compiles
    best = 1 + int(np.argmin(rest[1:].sum(axis=1)))
    name = f"PyTorch {torch.__version__} eager, {str(formats[best - 1]).removeprefix('torch.')}"
    note = "bound by XLA's convolutions"
    return [
        Row(f"U-Net, {work} step of {BATCH}", own / STEPS, begun - own, name, theirs / STEPS, 0.9, quality, note)
        for work, own, begun, theirs in zip(("training", "sampling"), rest[0], first[0], rest[best], strict=True)
    ]


def ours(x: np.ndarray) -> Side:
    """The steps by this library."""
    settings = {"batch_size": BATCH, "learning_rate": RATE}
    model = cr.flow_matching(NETWORK, solver=euler, sample_steps=STEPS, steps=STEPS, **settings)
    real = cr.uniform(jnp.asarray(x))
    begin = jax.jit(model.init)(jax.random.key(0), real.x)
    fit, sample = jax.jit(model.fit), jax.jit(model.sample, static_argnums=2)
    return Side(
        lambda seed: jax.block_until_ready(fit(jax.random.key(seed), begin, real)),
        lambda seed, state: jax.block_until_ready(sample(jax.random.key(seed), state, BATCH)),
    )


class Twin:
    """The same network with the same weights, and its steps, in eager PyTorch."""

    def __init__(self, torch: Any, params: Any):
        self.torch = torch
        self.network = torch_unet.network(torch, NETWORK.network, SHAPE)
        for name, values in self.network.named_parameters():
            values.data.copy_(torch.tensor(torch_unet.copied(params, name, values.dim())))

    def side(self, points: np.ndarray, memory_format: Any) -> Side:
        """Steps of training and sampling in a memory format."""
        torch = self.torch
        x = torch.tensor(points).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)

        def fit(seed):
            torch.manual_seed(seed)
            network = copy.deepcopy(self.network).to(memory_format=memory_format)

            def loss(network):
                batch = x[torch.randint(len(x), (BATCH,))]
                noise = torch.randn_like(batch)
                time = torch.rand(BATCH)
                between = torch.lerp(noise, batch, time[:, None, None, None])
                predicted = network(between, torch_training.time_features(time))
                return torch.nn.functional.mse_loss(predicted, batch - noise)

            return torch_training.fitted(network, loss, STEPS, RATE)

        @torch.no_grad()
        def sample(seed, network):
            torch.manual_seed(seed)
            x = torch.randn(BATCH, SHAPE[-1], *SHAPE[:2]).contiguous(memory_format=memory_format)
            for index in range(STEPS):
                x = x + network(x, torch_training.time_features(torch.tensor([index / STEPS]))) / STEPS
            return x

        return Side(fit, sample)


def untied(network: unet.InParts) -> Any:
    """Parameters with noise, so that no layer is zero and every weight matters."""
    params = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *SHAPE)), time_features(jnp.zeros(1)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.05, leaf.shape).astype(np.float32), params)


def difference(torch: Any, params: Any, twin: Twin, x: np.ndarray) -> float:
    """The largest difference between the outputs of both sides, in standard deviations of the output."""
    images, time = x[:8], np.linspace(0, 1, 8, dtype=np.float32)
    mine = np.asarray(jax.jit(NETWORK.apply)(params, images, time_features(jnp.asarray(time))))
    with torch.no_grad():
        other = twin.network(
            torch.tensor(images).permute(0, 3, 1, 2).contiguous(), torch_training.time_features(torch.tensor(time))
        )
    away = float(np.max(np.abs(mine - other.permute(0, 2, 3, 1).numpy())) / mine.std())
    assert away < 1e-3, f"the two networks differ by {away} standard deviations: they are not the same"
    return away


def one_call(side: Side, seed: int) -> tuple[float, float]:
    """Seconds to train and seconds to sample, `STEPS` steps each."""
    fitted, fit_seconds = seconds(lambda: side.fit(seed))
    return fit_seconds, seconds(lambda: side.sample(seed, fitted))[1]
