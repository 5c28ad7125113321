"""What a forecast is made from: the files that the flags name, read and checked."""

import math
from typing import NamedTuple

import numpy as np
from absl import app, flags

from experiments import arrays

FLAGS = flags.FLAGS
WIDEST = 1000.0  # range of r / τ: memory grows in proportion


class Samples(NamedTuple):
    """What the forecast is made from."""

    reward: np.ndarray  # [n]
    label: np.ndarray | None  # [n]
    real_reward: np.ndarray | None  # [m]
    real_label: np.ndarray | None  # [m]


def load() -> Samples:
    """The arrays that the flags name.

    Raises:
        app.UsageError: where a file is not what it should be, or one is missing.
    """
    if FLAGS.real_labels and not FLAGS.real_rewards:
        raise app.UsageError("--real_labels is given without --real_rewards: give both or none")
    if FLAGS.real_rewards and bool(FLAGS.labels) != bool(FLAGS.real_labels):
        raise app.UsageError(
            "one of --labels and --real_labels is given: the model and the real data need both or none"
        )

    reward = arrays.rewards(FLAGS.rewards)
    label = arrays.labels(FLAGS.labels, FLAGS.rewards, len(reward)) if FLAGS.labels else None
    if not FLAGS.real_rewards:
        return Samples(reward, label, None, None)
    real = arrays.rewards(FLAGS.real_rewards)
    real_label = arrays.labels(FLAGS.real_labels, FLAGS.real_rewards, len(real)) if FLAGS.real_labels else None
    return Samples(reward, label, real, real_label)


def check(samples: Samples) -> int:
    """The number of classes.

    Raises:
        app.UsageError: where the samples and the flags do not go together.
    """
    lowest, highest = ends(samples)
    if highest > math.log(np.finfo(np.float64).max):
        remedy = "subtract a number from all rewards, which changes no choice"
        raise app.UsageError(f"the largest reward is {highest:g}, and its exponential overflows: {remedy}")
    if FLAGS.temperature > 0 and (highest - lowest) / FLAGS.temperature > WIDEST:
        remedy = "take a higher temperature, or 0 for best-of-K"
        span = f"the rewards, {lowest:g} to {highest:g}, span more than {WIDEST:g} times"
        raise app.UsageError(f"{span} --temperature={FLAGS.temperature:g}: {remedy}")
    classes = 1 + max((int(of.max()) for of in (samples.label, samples.real_label) if of is not None), default=0)
    if FLAGS.keep and floor(FLAGS.keep)[0] >= classes:
        raise app.UsageError(f"--keep={FLAGS.keep} is of no class in the labels: take one of 0 to {classes - 1}")
    if FLAGS.entropy_floor is not None and FLAGS.entropy_floor > math.log(classes):
        most = f"{math.log(classes):.4g} nats, the most that {classes} of them have"
        raise app.UsageError(f"--entropy_floor={FLAGS.entropy_floor:g} is an entropy of classes over {most}")
    return classes


def ends(samples: Samples) -> tuple[float, float]:
    """The least and the largest reward."""
    rewards = [of for of in (samples.reward, samples.real_reward) if of is not None]
    return float(min(of.min() for of in rewards)), float(max(of.max() for of in rewards))


def floor(text: str) -> tuple[int, float]:
    """The class and the share of `--keep`."""
    label, _, floor = text.partition(":")
    return int(label), float(floor)
