"""Curated retraining: generative models refitted, generation after generation, to their own chosen samples.

What is out of the range that a docstring gives is a `ValueError` where the thing is built or traced, with the value and
the remedy; a number that is itself traced has no value to look at. Other errors are named where they may come.
"""

from curated_retraining import attacks, data, export, forecast, metrics, preferences, rewards, theory
from curated_retraining.curation.choices import crowd, flipped, luce, pairwise
from curated_retraining.curation.groups import inverse_propensity, k_way, rounds
from curated_retraining.curation.weights import crowd_tilt, everything, quota, threshold, tilt, top_fraction
from curated_retraining.data import checkerboard, draw, moons, ring, uniform, union
from curated_retraining.grids import Loop
from curated_retraining.interacting import interacting, start_interacting
from curated_retraining.loop import retraining, run, self_judged, start
from curated_retraining.mixing import accumulate, accumulate_moments, accumulate_subsample, fresh, replace, with_real
from curated_retraining.models.ddpm import ddpm
from curated_retraining.models.finite import finite
from curated_retraining.models.flow import flow
from curated_retraining.models.flow_matching import flow_matching
from curated_retraining.models.gmm import gaussian, gmm
from curated_retraining.models.kde import kde
from curated_retraining.models.trained import trained
from curated_retraining.models.wrappers import batched, from_scratch, placement, sharded, standardised
from curated_retraining.rewards import (
    class_probability,
    combine,
    confidence,
    distance,
    log_density,
    negate,
    scale,
    stack,
)
from curated_retraining.sweep import Sweep, sweep
from curated_retraining.types import Dataset, Generation, LoopState, Mixing, Model, Preference, lift

__all__ = [
    "Dataset", "Generation", "Loop", "LoopState", "Mixing", "Model", "Preference", "Sweep", "accumulate",
    "accumulate_moments", "accumulate_subsample", "attacks", "batched", "checkerboard", "class_probability",
    "combine", "confidence", "crowd", "crowd_tilt", "data", "ddpm", "distance", "draw", "everything", "export",
    "finite", "flipped", "flow", "flow_matching", "forecast", "fresh", "from_scratch", "gaussian", "gmm",
    "interacting", "inverse_propensity", "k_way", "kde", "lift", "log_density", "luce", "metrics", "moons",
    "negate", "pairwise", "placement", "preferences", "quota", "replace", "retraining", "rewards", "ring",
    "rounds", "run", "scale", "self_judged", "sharded", "stack", "standardised", "start", "start_interacting",
    "sweep", "theory", "threshold", "tilt", "top_fraction", "trained", "uniform", "union", "with_real",
]  # fmt: skip
