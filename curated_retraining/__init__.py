"""Curated retraining: generative models refitted, generation after generation, to their own chosen samples."""

from curated_retraining import attacks, data, forecast, metrics, preferences, rewards, theory
from curated_retraining.curation import (
    crowd,
    crowd_tilt,
    everything,
    flipped,
    k_way,
    luce,
    pairwise,
    rounds,
    threshold,
    tilt,
    top_fraction,
)
from curated_retraining.data import checkerboard, draw, moons, ring, uniform, union
from curated_retraining.loop import retraining, run, start
from curated_retraining.mixing import accumulate, accumulate_subsample, fresh, replace, with_real
from curated_retraining.models.ddpm import ddpm
from curated_retraining.models.finite import finite
from curated_retraining.models.flow import flow
from curated_retraining.models.flow_matching import flow_matching
from curated_retraining.models.gmm import gaussian, gmm
from curated_retraining.models.kde import kde
from curated_retraining.models.trained import trained
from curated_retraining.models.wrappers import batched, from_scratch, standardised
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
from curated_retraining.types import Dataset, Generation, LoopState, Mixing, Model, Preference, lift

__all__ = [
    "Dataset",
    "Generation",
    "LoopState",
    "Mixing",
    "Model",
    "Preference",
    "accumulate",
    "accumulate_subsample",
    "attacks",
    "batched",
    "checkerboard",
    "class_probability",
    "combine",
    "confidence",
    "crowd",
    "crowd_tilt",
    "data",
    "ddpm",
    "distance",
    "draw",
    "everything",
    "finite",
    "flipped",
    "flow",
    "flow_matching",
    "forecast",
    "fresh",
    "from_scratch",
    "gaussian",
    "gmm",
    "k_way",
    "kde",
    "lift",
    "log_density",
    "luce",
    "metrics",
    "moons",
    "negate",
    "pairwise",
    "preferences",
    "replace",
    "retraining",
    "rewards",
    "ring",
    "rounds",
    "run",
    "scale",
    "stack",
    "standardised",
    "start",
    "theory",
    "threshold",
    "tilt",
    "top_fraction",
    "trained",
    "uniform",
    "union",
    "with_real",
]
