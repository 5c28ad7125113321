"""A classifier of labelled images made once: trained, its temperature set, measured, and kept in one file."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

from curated_retraining.classifiers import parameters
from curated_retraining.classifiers.calibration import (
    accuracy,
    expected_calibration_error,
    temperature,
    tempered,
)
from curated_retraining.classifiers.training import fit, moved
from curated_retraining.datasets.images import Split, split
from curated_retraining.metrics.chunks import map_chunks
from curated_retraining.networks.classifier import Classifier
from curated_retraining.types import PRNGKey, State


class Recipe(NamedTuple):
    """How a classifier is built and trained."""

    widths: tuple[int, ...]  # of the network's stages
    blocks: int  # a stage
    steps: int
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    shift: int = 2  # the farthest that an image is moved, in pixels
    mirror: bool = False  # whether an image and its mirror image show the same


RECIPES = {  # by the name of the reader
    "digits": Recipe(widths=(32, 64), blocks=1, steps=800, shift=1),
    "mnist": Recipe(widths=(32, 64, 128), blocks=1, steps=1200),
    "cifar10": Recipe(widths=(32, 64, 128), blocks=1, steps=6000, batch_size=64, mirror=True),
    "npz": Recipe(widths=(32, 64, 128), blocks=1, steps=4000, batch_size=64),
}
REPORTED = ("accuracy", "calibration_error", "calibration_error_tempered", "temperature")


class TrainedClassifier(NamedTuple):
    """What a loop asks of a classifier; the functions are inputs of a program, and none is compiled in."""

    logits: Partial  # [n, h, w, c] -> [n, classes], as trained
    calibrated: Partial  # the same divided by the temperature
    features: Partial  # [n, h, w, c] -> [n, widths[-1]], the penultimate layer
    report: dict[str, float]  # see `trained_classifier`


def trained_classifier(key: PRNGKey, data: Split, recipe: Recipe, path: str | Path | None = None) -> TrainedClassifier:
    """A classifier trained on `data.train`, read from the file `path` where it is there and written to it where not.

    Every tenth training image of each class is kept out of training and sets the temperature alone. The `report`, all
    on `data.test`, is of `accuracy`, `calibration_error` and `calibration_error_tempered` (expected, in [0, 1]), and
    the `temperature`.

    Raises:
        ValueError: where `path` is damaged or holds a classifier of another key, recipe or data. It stays as it was.
    """
    settings = _settings(key, data, recipe)
    network = Classifier(len(data.train.names), recipe.widths, recipe.blocks)
    if path is not None and Path(path).exists():
        params, report = parameters.load(path, _like(key, network, data), settings)
    else:
        params, report = _made(key, network, data, recipe)
        if path is not None:
            parameters.save(path, (params, report), settings)
    report = {name: float(value) for name, value in report.items()}
    return TrainedClassifier(
        Partial(network.apply, params),
        Partial(network.apply, tempered(params, report["temperature"])),
        Partial(network.features, params),
        report,
    )


def fingerprint(data: Split) -> str:
    """SHA-256 of all images and labels."""
    total = hashlib.sha256()
    for images in data:
        for array in (images.x, images.label):
            total.update(f"{array.dtype.str} {array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _made(key: PRNGKey, network: Classifier, data: Split, recipe: Recipe) -> tuple[State, dict[str, np.float32]]:
    train, held_out = split(data.train, every=10)
    params = fit(
        key,
        network,
        train.x,
        train.label,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        augment=moved(recipe.shift, recipe.mirror),
    )
    logits = Partial(network.apply, params)
    heat = temperature(_in_chunks(logits, held_out.x), held_out.label)
    tested, label = _in_chunks(logits, data.test.x), data.test.label
    report = (
        accuracy(tested, label),
        expected_calibration_error(tested, label),
        expected_calibration_error(tested / heat, label),
        heat,
    )
    return params, {name: np.float32(value) for name, value in zip(REPORTED, report, strict=True)}


def _like(key: PRNGKey, network: Classifier, data: Split) -> State:
    """The shapes of what `_made` returns."""
    params = jax.eval_shape(network.init, key, data.train.x[:1])
    return params, dict.fromkeys(REPORTED, jax.ShapeDtypeStruct((), np.float32))


@jax.jit
def _in_chunks(logits: Partial, x: jax.Array) -> jax.Array:
    return map_chunks(logits, x, 250)


def _settings(key: PRNGKey, data: Split, recipe: Recipe) -> dict[str, Any]:
    return {"key": jax.random.key_data(key).tolist(), "data": fingerprint(data)} | recipe._asdict()
