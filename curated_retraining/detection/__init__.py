"""Detection: from samples of two generations to how the second was curated from the first."""

from curated_retraining.detection.classes import ClassRewards, class_rewards, least_k
from curated_retraining.detection.estimate import Detection, Estimate, detect

__all__ = ["ClassRewards", "Detection", "Estimate", "class_rewards", "detect", "least_k"]
