"""Forecasts: from rewards (and labels) of a model's own samples to the course of a curated loop."""

from curated_retraining.forecast.bands import bootstrap
from curated_retraining.forecast.course import Forecast, forecast
from curated_retraining.forecast.required import RealShare, required_real_share

__all__ = ["Forecast", "RealShare", "bootstrap", "forecast", "required_real_share"]
