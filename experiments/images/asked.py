"""What the flags of the image experiment say: which images, and the settings that results depend on."""

from collections import Counter
from typing import Any

import numpy as np
from absl import app, flags

from curated_retraining import classifiers, datasets
from curated_retraining.datasets import Split
from experiments import common
from experiments.images import generators
from experiments.loops import require_groups

FLAGS = flags.FLAGS
GAMMA = {"class_probability": 5.0, "confidence": 15.0}  # the paper's
ROUNDS = 10  # of the training of generation 0, with a checkpoint after each
ELSEWHERE = ("data_dir", "npz", "download", "pretrained", "classifier", "inception")


def read_data() -> Split:
    """The images of `--dataset`."""
    if FLAGS.dataset == "npz" and not FLAGS.npz:
        raise app.UsageError("--dataset=npz needs a file, such as --npz=images.npz")
    read = {
        "digits": datasets.digits,
        "mnist": datasets.mnist,
        "cifar10": lambda: datasets.cifar10(FLAGS.data_dir, FLAGS.download),
        "npz": lambda: datasets.npz(FLAGS.npz),
    }
    data = told(read[FLAGS.dataset])
    if FLAGS.dataset == "npz":
        _require_different(data.train.x)
    return data


def settings_of(data: Split) -> dict[str, Any]:
    """The flags that the results depend on, with the defaults that depend on others filled in."""
    sizes = generators.sizes(FLAGS.preset, FLAGS.dataset)
    pool, first = FLAGS.pool or sizes.pool, FLAGS.first_steps or sizes.first
    require_groups(pool)
    if first % ROUNDS:
        raise app.UsageError(f"--first_steps={first} does not split into {ROUNDS} rounds: take a multiple of {ROUNDS}")
    if FLAGS.label >= len(data.train.names):
        raise app.UsageError(f"--label={FLAGS.label} is not a class: take 0 to {len(data.train.names) - 1}")
    of_results = {name: value for name, value in common.settings().items() if name not in ELSEWHERE}
    return of_results | {
        "data": classifiers.fingerprint(data),
        "features": "inception" if FLAGS.inception else "classifier",
        "pool": pool,
        "steps": FLAGS.steps or sizes.steps,
        "first_steps": first,
        "gamma": GAMMA[FLAGS.reward] if FLAGS.gamma is None else FLAGS.gamma,
    }


def told(make):
    """What `make` returns; its `ValueError` is a user's mistake."""
    try:
        return make()
    except ValueError as error:
        raise app.UsageError(str(error)) from error


def _require_different(images: np.ndarray) -> None:
    """Refuses images of which most are copies: those from real images to the nearest others are a unit of distance."""
    copies = sum(count for count in Counter(hash(image.tobytes()) for image in images).values() if count > 1)
    if 2 * copies > len(images):
        raise app.UsageError(
            f"{copies} of {len(images)} images to learn from in --npz={FLAGS.npz} are copies of others, so that the "
            "median distance from one to the nearest other is 0: leave copies out"
        )
