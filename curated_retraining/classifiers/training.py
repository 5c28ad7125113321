"""Training of classifiers, by the one optimiser loop."""

from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from tqdm import tqdm

from curated_retraining.data import uniform
from curated_retraining.models.trained import Trainer, trained
from curated_retraining.types import Array, Dataset, PRNGKey, State, require

Augment = Callable[[PRNGKey, Array], Array]  # key, images [n, h, w, c] -> images of the same shape


def trainer(network: nn.Module, *, augment: Augment | None = None, **training) -> Trainer:
    """Trains `network` on `labelled` points by the cross-entropy of its logits.

    Args:
        network: `[n, *event]` -> logits `[n, classes]`.
        augment: changes the points of each batch.
        training: what `trained` takes: `steps`, `batch_size`, `learning_rate`, `ema`, ...

    Labels are not smoothed: smoothing caps the confidence that a reward reads and hides how classes resemble each
    other (Müller, Kornblith, Hinton 2019); `calibration.temperature` mends calibration without either.
    """

    def init_params(key, points):
        return network.init(key, points[0][:1])

    def loss(key, params, points):
        x, label = cast(tuple[Array, Array], points)
        logits = jnp.asarray(network.apply(params, x if augment is None else augment(key, x)))
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()

    return trained(init_params, loss, **training)


def labelled(x: ArrayLike, label: ArrayLike) -> Dataset:
    """Points `x` `[n, *event]` and their labels `[n]` as one dataset of even weights."""
    points = jnp.asarray(x), jnp.asarray(label)
    return Dataset(cast(Any, points), uniform(points[0]).weight)


def fit(
    key: PRNGKey,
    network: nn.Module,
    x: ArrayLike,
    label: ArrayLike,
    *,
    steps: int,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    augment: Augment | None = None,
    rounds: int = 10,
) -> State:
    """The parameters of `network` fitted to images `x` `[n, h, w, c]` with labels `[n]`: an average over late steps.

    AdamW under a one-cycle rate that peaks at `learning_rate`. The host calls one compiled program `rounds` times, each
    for `steps / rounds` steps, and shows its progress on a terminal.

    Raises:
        ValueError: where `steps` are not a multiple of `rounds`, or points and labels differ in number.
    """
    if rounds < 1 or steps % rounds:
        raise ValueError(f"{steps} steps do not split into {rounds} rounds")
    if np.shape(x)[0] != np.shape(label)[0]:
        raise ValueError(f"{np.shape(x)[0]} images need as many labels, not {np.shape(label)[0]}")
    rate = optax.cosine_onecycle_schedule(steps, learning_rate, pct_start=0.2)
    init, fit_round = trainer(
        network,
        augment=augment,
        steps=steps // rounds,
        batch_size=batch_size,
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=weight_decay)),
        carry_optimizer=True,
        ema=0.99,
    )
    init_key, *keys = jax.random.split(key, rounds + 1)
    data = labelled(x, label)
    state, advance = jax.jit(init)(init_key, data.x), jax.jit(fit_round)
    for round_key in tqdm(keys, unit="round", disable=None):
        state = jax.block_until_ready(advance(round_key, state, data))
    return state.average


def moved(pixels: int, flip: bool = False) -> Augment:
    """Shifts each image by up to `pixels` along each side, its border repeated, and mirrors half of them if `flip`."""
    require("pixels", pixels, lambda p: p >= 0, "is not a reach of shifts: take 0 or more")

    def augment(key, images):
        shift_key, flip_key = jax.random.split(key)
        corner = jax.random.randint(shift_key, (images.shape[0], 2), 0, 2 * pixels + 1)
        wide = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
        cut = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), images.shape[1:]))(wide, corner)
        if not flip:
            return cut
        mirrored = jax.random.bernoulli(flip_key, 0.5, (images.shape[0], 1, 1, 1))
        return jnp.where(mirrored, cut[:, :, ::-1], cut)

    return augment
