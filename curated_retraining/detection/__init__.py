"""Detection: from the rewards of two generations' samples to how the second was curated from the first."""

from curated_retraining.detection.estimate import Detection, Estimate, detect

__all__ = ["Detection", "Estimate", "detect"]
