"""Classifiers of images: trained, calibrated and kept in a file."""

from curated_retraining.classifiers.cached import (
    RECIPES,
    Recipe,
    TrainedClassifier,
    fingerprint,
    trained_classifier,
)
from curated_retraining.classifiers.calibration import accuracy, expected_calibration_error, temperature, tempered
from curated_retraining.classifiers.training import fit, labelled, moved, trainer

__all__ = [
    "RECIPES",
    "Recipe",
    "TrainedClassifier",
    "accuracy",
    "expected_calibration_error",
    "fingerprint",
    "fit",
    "labelled",
    "moved",
    "temperature",
    "tempered",
    "trained_classifier",
    "trainer",
]
