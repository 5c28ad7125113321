"""Figures of curated retraining, each written as one file; takes NumPy arrays and knows nothing of the loop."""

from curated_retraining.figures.courses import curves, shares
from curated_retraining.figures.detections import Estimates, estimates, fitted
from curated_retraining.figures.forecasts import forecast
from curated_retraining.figures.images import curation, sample_grids
from curated_retraining.figures.maps import heat_maps
from curated_retraining.figures.plane import animation, densities
from curated_retraining.figures.stacked import stacked_shares

__all__ = [
    "Estimates",
    "animation",
    "curation",
    "curves",
    "densities",
    "estimates",
    "fitted",
    "forecast",
    "heat_maps",
    "sample_grids",
    "shares",
    "stacked_shares",
]
