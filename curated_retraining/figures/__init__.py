"""Figures of curated retraining, each written as one file; takes NumPy arrays and knows nothing of the loop."""

from curated_retraining.figures.courses import curves, shares
from curated_retraining.figures.forecasts import forecast
from curated_retraining.figures.maps import heat_maps
from curated_retraining.figures.plane import animation, densities

__all__ = ["animation", "curves", "densities", "forecast", "heat_maps", "shares"]
