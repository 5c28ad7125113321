"""How often a classifier is right, and how far its probabilities can be trusted (Guo, Pleiss, Sun, Weinberger 2017).

Host code: it reports numbers.
"""

import jax
import numpy as np
from jax.typing import ArrayLike

from curated_retraining.types import State, require


def accuracy(logits: ArrayLike, label: ArrayLike) -> float:
    """The share of `logits` `[n, classes]` that are largest at their `label` `[n]`, in [0, 1]."""
    return float(np.mean(np.argmax(logits, axis=-1) == np.asarray(label)))


def expected_calibration_error(logits: ArrayLike, label: ArrayLike, bins: int = 15) -> float:
    """Σ_b (n_b / n) |accuracy − mean confidence| over `bins` even bins of confidence, in [0, 1] (their eq. 3).

    The confidence of `logits` `[n, classes]` is their largest probability; bin b holds those above b / bins and up to
    (b + 1) / bins.
    """
    require("bins", bins, lambda b: b >= 1, "is not a number of bins: take 1 or more")
    share = np.exp(_log_shares(logits))
    confidence = share.max(axis=-1)
    right = np.argmax(logits, axis=-1) == np.asarray(label)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    excess = np.bincount(index, right - confidence, minlength=bins)
    return float(np.abs(excess).sum() / len(right))


def temperature(logits: ArrayLike, label: ArrayLike) -> float:
    """The T at which softmax(logits / T) best explains held-out `logits` `[n, classes]` and their `label` `[n]` (§4.2).

    Above one where the classifier is too sure of itself. As in Platt (1999), each label is believed to n / (n + 1) and
    may else be any class: so T is there even where all labels are right, and with n it goes to the likeliest T. The
    objective is concave in 1 / T: its slope is bisected.

    Raises:
        ValueError: where no T in [1/1000, 1000] is best, since the logits tell less of the labels than a guess would.
    """
    logits, label = np.asarray(logits, float), np.asarray(label)
    num, classes = logits.shape
    target = (num * np.eye(classes)[label] + 1 / classes) / (num + 1)

    def slope(log_inverse):
        share = np.exp(_log_shares(np.exp(log_inverse) * logits))
        return np.mean(np.sum((target - share) * logits, axis=-1))

    low, high = -np.log(1e3), np.log(1e3)
    if not slope(low) > 0 > slope(high):
        raise ValueError(
            f"no temperature suits these {num} labels, {accuracy(logits, label):.2%} of them right: "
            "train the classifier for longer, and see that labels and images belong together"
        )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return float(np.exp(-low))


def tempered(params: State, temperature: float) -> State:
    """Parameters of a `networks.classifier.Classifier` whose logits are divided by `temperature`; features stay."""
    require("temperature", temperature, lambda t: (t > 0) & np.isfinite(t), "is not a temperature: take a positive one")
    inner = params["params"]
    return {"params": inner | {"head": jax.tree.map(lambda leaf: leaf / temperature, inner["head"])}}


def _log_shares(logits: ArrayLike) -> np.ndarray:
    below = np.asarray(logits, float) - np.max(logits, axis=-1, keepdims=True)
    return below - np.log(np.sum(np.exp(below), axis=-1, keepdims=True))
