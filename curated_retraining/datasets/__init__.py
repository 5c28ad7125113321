"""Readers of labelled images: host code in NumPy that checks what it reads."""

from curated_retraining.datasets.cifar10 import cifar10
from curated_retraining.datasets.images import Images, Split, split
from curated_retraining.datasets.small import digits, mnist, npz

__all__ = ["Images", "Split", "cifar10", "digits", "mnist", "npz", "split"]
