"""The generators of `--model` at the sizes of `--preset`."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.sharding import Mesh

import curated_retraining as cr
from curated_retraining.models.couplings import exact_ot, independent, near_ot, sinkhorn
from curated_retraining.models.ddpm import cosine_betas
from curated_retraining.models.samplers import multistep
from curated_retraining.networks import unet
from curated_retraining.types import Model

COUPLINGS = {"independent": independent, "exact_ot": exact_ot, "near_ot": near_ot(), "sinkhorn": sinkhorn()}


class Sizes(NamedTuple):
    """What a preset costs by default."""

    pool: int  # samples a generation
    first: int  # optimiser steps of generation 0
    steps: int  # of a refit, warm-started from the last
    batch_size: int
    learning_rate: float
    ema: float
    calls: int  # of the network, to draw a sample


PAPER = Sizes(pool=50_000, first=200_000, steps=5000, batch_size=128, learning_rate=2e-4, ema=0.9999, calls=100)
CPU = {  # by dataset
    "digits": Sizes(pool=2000, first=4000, steps=200, batch_size=64, learning_rate=1e-3, ema=0.999, calls=20),
    "mnist": Sizes(pool=1200, first=3000, steps=150, batch_size=64, learning_rate=1e-3, ema=0.999, calls=16),
    "cifar10": Sizes(pool=2000, first=8000, steps=300, batch_size=64, learning_rate=1e-3, ema=0.999, calls=20),
    "npz": Sizes(pool=2000, first=8000, steps=300, batch_size=64, learning_rate=1e-3, ema=0.999, calls=20),
}
PRESETS = ("cpu", "paper")


def sizes(preset: str, dataset: str) -> Sizes:
    """What `preset` costs on `dataset`."""
    return PAPER if preset == "paper" else CPU[dataset]


def build(
    name: str,
    preset: str,
    chosen: Sizes,
    *,
    side: int,
    coupling: str,
    dtype: str,
    steps: int,
    chunk: int,
    carry: bool = False,
    mesh: Mesh | None = None,
) -> Model:
    """The model `name` on the U-Net of `preset` for images of `side` pixels, `chunk` of which are drawn at a time.

    `carry` says whether the state of the optimiser passes from one fit of `steps` to the next, `mesh` which devices
    share batches and samples.
    """
    if preset == "paper":
        network = unet.paper(jnp.dtype(dtype))
    else:
        network = unet.cpu(patch=2 if side >= 16 else 1, dtype=jnp.dtype(dtype))
    training = {
        "steps": steps,
        "batch_size": chosen.batch_size,
        "learning_rate": chosen.learning_rate,
        "ema": chosen.ema,
        "carry_optimizer": carry,
    }
    if name == "ddpm":
        model = cr.ddpm(network, betas=cosine_betas(1000), sampler=multistep(chosen.calls), **training)
    else:
        model = cr.flow_matching(
            network, coupling=COUPLINGS[coupling], sample_steps=chosen.calls // 2, **training
        )  # by Heun's rule, of two calls a step
    return cr.batched(model if mesh is None else cr.sharded(model, mesh), chunk)
