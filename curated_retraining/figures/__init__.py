"""Figures of curated retraining, each written as one file; takes NumPy arrays and knows nothing of the loop."""

from curated_retraining.figures.agreements import agreement
from curated_retraining.figures.courses import curves, shares
from curated_retraining.figures.detections import Estimates, estimates, fitted
from curated_retraining.figures.forecasts import forecast
from curated_retraining.figures.frames import density_frames, sample_frames
from curated_retraining.figures.frontiers import frontier
from curated_retraining.figures.images import curation, sample_grids
from curated_retraining.figures.maps import heat_maps
from curated_retraining.figures.paths import disk, ternary
from curated_retraining.figures.plane import animation, densities
from curated_retraining.figures.responses import along
from curated_retraining.figures.stacked import stacked_shares
from curated_retraining.figures.tradeoffs import tradeoff

__all__ = [
    "Estimates",
    "agreement",
    "along",
    "animation",
    "curation",
    "curves",
    "densities",
    "density_frames",
    "disk",
    "estimates",
    "fitted",
    "forecast",
    "frontier",
    "heat_maps",
    "sample_frames",
    "sample_grids",
    "shares",
    "stacked_shares",
    "ternary",
    "tradeoff",
]
