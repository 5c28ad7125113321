"""What a generation costs in operations, memory and messages, by formula, and how long the paper's run should take.

python -m benchmarks.scaling

prints the tables of `docs/scaling.md`. Operations are checked against what XLA counts; times are predictions.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.networks import unet
from curated_retraining.networks.mlp import TimeMLP, time_features
from curated_retraining.networks.unet import UNet
from experiments.images.generators import PAPER

FEATURES = 32  # of a time
CELLS, GENERATIONS = 2, 10  # λ = ∞ and 1/2, one seed, as `experiments.images` has them by default


class Card(NamedTuple):
    """An accelerator's public peak figures, and what share of them is assumed to be reached."""

    name: str = "H100 SXM"
    flops: float = 989e12  # a second, dense bfloat16
    memory: float = 3.35e12  # bytes a second
    within: float = 450e9  # bytes a second to others of its host, one way (NVLink: 900 GB/s both ways)
    between: float = 50e9  # the same to other hosts (400 Gb/s a card)
    share: float = 0.35  # of `flops`, in convolutions of many images
    half: float = 16.0  # images a device at which half of that share is reached
    message: float = 5e-6  # seconds a hop of an all-reduce takes beside its bytes
    share_of_bytes: float = 0.6  # of the rates of memory and links


class Step(NamedTuple):
    """Seconds of a training step, by what they go to."""

    operations: float
    memory: float  # reading and writing parameters and what the optimiser keeps of them
    messages: float  # the all-reduce of gradients


def mlp_forward(network: TimeMLP, size: int) -> float:
    """FLOP of a forward pass of one point of `size` numbers."""
    width = network.width
    return 2.0 * (2 * size * width + FEATURES * width + network.depth * width**2)


def unet_forward(network: UNet, side: int, colours: int) -> float:
    """FLOP of the products of a forward pass of one image, zeros beyond its border not counted."""
    embedding = 4 * network.channels

    def conv(side, into, out):
        return 2.0 * (3 * side - 2) ** 2 * into * out

    def block(side, into, out):
        shortcut = 0 if into == out else 2 * side**2 * into * out
        return conv(side, into, out) + 2 * embedding * out + conv(side, out, out) + shortcut

    def attention(side, width, _):
        return 2.0 * side**2 * 4 * width**2 + 4.0 * side**4 * width

    def up(side, into, out):  # at 4/9 of the products of a convolution of the doubled image
        return 2.0 * (2 * side) ** 2 * into * 4 * out

    cost = {"conv": conv, "block": block, "attention": attention, "up": up}
    return 2.0 * embedding * (FEATURES + embedding) + sum(
        cost[kind](*sizes) for kind, *sizes in _layers(network, side, colours)
    )


def unet_kept(network: UNet, side: int, colours: int) -> float:
    """Numbers that a forward pass of one image leaves for the gradient: what each product and each norm reads."""
    kept = {
        "conv": lambda side, into, out: side**2 * into,
        "block": lambda side, into, out: side**2 * (2 * into + 2 * out),
        "attention": lambda side, width, _: side**2 * 6 * width + side**4 * (width // network.head_channels),
        "up": lambda side, into, out: side**2 * into,
    }
    return float(sum(kept[kind](*sizes) for kind, *sizes in _layers(network, side, colours)))


def fit(forward: float, steps: int, batch: int) -> float:
    """FLOP of a refit: a gradient is two passes back for one forward."""
    return 3 * forward * steps * batch


def sampling(forward: float, calls: int, pool: int) -> float:
    """FLOP of a pool by `calls` of the network a sample."""
    return forward * calls * pool


def parameters(network: UNet | TimeMLP, *event: int) -> int:
    """Their number."""
    features = time_features(jnp.zeros(1), FEATURES)
    tree = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *event)), features)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def state_bytes(parameters: int) -> int:
    """Of a model between generations: parameters, their average and Adam's two moments in float32."""
    return 16 * parameters


def step_seconds(card: Card, forward: float, parameters: int, batch: int, devices: int, per_host: int = 8) -> Step:
    """A training step whose batch `devices` share, `per_host` to a host."""
    rows = batch / devices
    link = card.within if devices <= per_host else card.between
    sent = 2 * (devices - 1) / devices * 4 * parameters / (link * card.share_of_bytes)
    hops = 2 * math.ceil(math.log2(devices)) * card.message if devices > 1 else 0.0
    # Gradients, both moments, the average and the parameters are read and written, 4 bytes each; read twice more.
    memory = 12 * 4 * parameters / (card.memory * card.share_of_bytes)
    return Step(3 * forward * rows / _reached(card, rows), memory, sent + hops)


def pool_seconds(card: Card, forward: float, calls: int, pool: int, chunk: int, devices: int) -> float:
    """A pool that `devices` draw `chunk` at a time together."""
    return sampling(forward, calls, pool) / (devices * _reached(card, chunk / devices))


def _reached(card: Card, rows: float) -> float:
    """FLOP a second of one device that works on so many images at a time."""
    return card.flops * card.share * rows / (rows + card.half)


def _layers(network: UNet, side: int, colours: int) -> Iterator[tuple[str, int, int, int]]:
    """Kind, side, channels in and out of each part of the U-Net, in its order."""
    sides = [side // network.patch // 2**level for level in range(len(network.multipliers))]
    widths = [network.channels * multiplier for multiplier in network.multipliers]
    levels = list(zip(sides, widths, strict=True))
    cells = network.patch**2 * colours

    def stage(side, into, out):
        yield "block", side, into, out
        if side in network.attention:
            yield "attention", side, out, out

    yield "conv", sides[0], cells, network.channels
    now, skips = network.channels, [network.channels]
    for level, (side, width) in enumerate(levels):
        if level:
            yield "conv", side, now, now
            skips.append(now)
        for _ in range(network.blocks):
            yield from stage(side, now, width)
            now = width
            skips.append(now)
    yield "block", sides[-1], now, now
    yield "attention", sides[-1], now, now
    yield "block", sides[-1], now, now
    for level, (side, width) in reversed(list(enumerate(levels))):
        for _ in range(network.blocks + 1):
            yield from stage(side, now + skips.pop(), width)
            now = width
        if level:
            yield "up", side, width, width
    yield "conv", sides[0], now, cells


def main() -> None:
    """Prints operations and memory of a generation, then the predicted times."""
    card, network = Card(), unet.paper()
    forward, num = unet_forward(network, 32, 3), parameters(network, 32, 32, 3)
    refit, drawn = fit(forward, PAPER.steps, PAPER.batch_size), sampling(forward, PAPER.calls, PAPER.pool)
    print(f"forward {forward / 1e9:.2f} GFLOP an image, {num / 1e6:.1f} M parameters")
    print(f"a generation: refit {refit / 1e15:.1f} PFLOP, pool {drawn / 1e15:.1f} PFLOP")
    kept = 2 * unet_kept(network, 32, 3) * PAPER.batch_size  # bfloat16
    print(
        f"state {state_bytes(num) / 1e9:.2f} GB a cell, pool {4 * 3072 * PAPER.pool / 1e9:.2f} GB, "
        f"kept for a gradient {kept / 1e9:.2f} GB\n"
    )
    print("| devices | batch each | step, ms: operations | memory | all-reduce | generation 0, h | loop, h | all, h |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for devices, chunk in ((1, 500), (8, 4000), (64, 6400), (128, 12800)):
        step = step_seconds(card, forward, num, PAPER.batch_size, devices)
        pool = pool_seconds(card, forward, PAPER.calls, PAPER.pool, chunk, devices)
        begun = PAPER.first * sum(step) / 3600
        loop = CELLS * (GENERATIONS * PAPER.steps * sum(step) + (GENERATIONS + 1) * pool) / 3600
        parts = " | ".join(f"{1e3 * seconds:.2f}" for seconds in step)
        print(
            f"| {devices} | {PAPER.batch_size // devices} | {parts} | {begun:.2f} | {loop:.2f} | {begun + loop:.2f} |"
        )


if __name__ == "__main__":
    main()
