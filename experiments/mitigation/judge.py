"""A classifier of the ring's modes that is too sure of itself, and the temperature that calibrates it.

People name the nearest mode, but a share w of their labels is drawn at random: q(y | x) = (1 − w) 1{y nearest} + w / 8.
The classifier's logits are s log q for a sharpness s; at the temperature s it would be calibrated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import classifiers
from curated_retraining.types import Array
from experiments.compared.ring import MODES
from experiments.gmm import RING

HELD_OUT = 4000  # labels that it is calibrated by


class Judge(NamedTuple):
    """A classifier, the temperature found for it, and its calibration errors without and with that."""

    classifier: Partial  # x [n, 2] -> logits [n, modes]
    temperature: float
    errors: tuple[float, float]


def calibrated(wrong: float, sharpness: float) -> Judge:
    """The classifier for w = `wrong` and s = `sharpness`, its temperature found from labels as people give them.

    Raises:
        ValueError: where logits are not finite, or no temperature suits them.
    """
    classifier = Partial(_logits, wrong, sharpness)
    x_key, wrong_key, label_key = jax.random.split(jax.random.key(11), 3)
    x = cr.ring(x_key, HELD_OUT).x
    at_random = jax.random.randint(label_key, (HELD_OUT,), 0, MODES)
    label = np.asarray(jnp.where(jax.random.bernoulli(wrong_key, wrong, (HELD_OUT,)), at_random, RING.label(x)))
    logits = np.asarray(classifier(x))
    if not np.isfinite(logits).all():
        raise ValueError("logits are not finite: take numbers nearer to one")
    found = classifiers.temperature(logits, label)
    before, after = (classifiers.expected_calibration_error(logits / t, label) for t in (1.0, found))
    return Judge(classifier, found, (before, after))


def _logits(wrong, sharpness, x: Array) -> Array:
    return sharpness * jnp.log((1 - wrong) * jax.nn.one_hot(RING.label(x), MODES) + wrong / MODES)
