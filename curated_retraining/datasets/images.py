"""Labelled images in the host's memory: what every reader returns, its checks and its split."""

from pathlib import Path
from typing import NamedTuple

import numpy as np


class Images(NamedTuple):
    """Images in [−1, 1], row-major from the top left, and what they show."""

    x: np.ndarray  # [n, h, w, c] float32
    label: np.ndarray  # [n] int32, in 0..len(names)−1
    names: tuple[str, ...]


class Split(NamedTuple):
    """Images to learn from and others to judge by."""

    train: Images
    test: Images


def split(images: Images, every: int = 5) -> Split:
    """Every `every`-th image of each class, in the order of the file, as the test; the rest for training.

    Raises:
        ValueError: where a class has fewer than `every` images.
    """
    if every < 2:
        raise ValueError(f"every={every} leaves nothing to train on: take 2 or more")
    count = np.bincount(images.label, minlength=len(images.names))
    if count.min() < every:
        scarce = int(count.argmin())
        raise ValueError(f"class {scarce} has {count[scarce]} images: to set every {every}th apart takes {every}")
    test = np.zeros(len(images.label), bool)
    for label in range(len(images.names)):
        test[np.flatnonzero(images.label == label)[every - 1 :: every]] = True
    return Split(_rows(images, ~test), _rows(images, test))


def scaled(pixels: np.ndarray, top: float) -> np.ndarray:
    """`pixels` in 0..`top` as float32 in [−1, 1]."""
    x = pixels.astype(np.float32)
    x *= 2 / top
    x -= 1
    return x


def checked_labels(path: str | Path, label: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """`label` as int32.

    Raises:
        ValueError: where a label is not one of `names`, or a class has no image.
    """
    if label.min() < 0 or label.max() >= len(names):
        raise ValueError(f"{path}: labels run from {label.min()} to {label.max()}: take 0 to {len(names) - 1}")
    absent = np.flatnonzero(np.bincount(label, minlength=len(names)) == 0)
    if absent.size:
        raise ValueError(f"{path}: no image has the label {absent[0]}: number the classes from 0 without a gap")
    return label.astype(np.int32)


def _rows(images: Images, kept: np.ndarray) -> Images:
    return Images(images.x[kept], images.label[kept], images.names)
