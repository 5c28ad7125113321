"""Inception-v3 as the Fréchet inception distance (FID) has it, without PyTorch."""

from curated_retraining.inception.network import Inception
from curated_retraining.inception.weights import inception_features

__all__ = ["Inception", "inception_features"]
