"""What curated retraining does to a population, exactly; shares no code with the sampled loop."""

from curated_retraining.theory.bounds import (
    contraction_rate,
    effective_k,
    kl_ceiling,
    real_kl_ceiling,
    reward_floor,
    reward_increment_bound,
    tail_rate,
    uncurated_kl_rate,
)
from curated_retraining.theory.crowds import basin_map, crowd_potential, flipped_operator, pluralistic_limit
from curated_retraining.theory.dynamics import course, curated_share, mixed_limit, pure_limit, retrain, trajectory
from curated_retraining.theory.nodes import sums
from curated_retraining.theory.operator import crowd_operator, k_way_operator, k_way_ratio
from curated_retraining.theory.pairwise import pairwise_operator, pairwise_ratio, pairwise_trajectory
from curated_retraining.theory.pure import kl_to_pure_limit, reward_gain, two_level_map
from curated_retraining.theory.tilt import condensed_mass, implied_rlhf, rlhf_optimum, tilt_limit

__all__ = [
    "basin_map",
    "condensed_mass",
    "contraction_rate",
    "course",
    "crowd_operator",
    "crowd_potential",
    "curated_share",
    "effective_k",
    "flipped_operator",
    "implied_rlhf",
    "k_way_operator",
    "k_way_ratio",
    "kl_ceiling",
    "kl_to_pure_limit",
    "mixed_limit",
    "pairwise_operator",
    "pairwise_ratio",
    "pairwise_trajectory",
    "pluralistic_limit",
    "pure_limit",
    "real_kl_ceiling",
    "retrain",
    "reward_floor",
    "reward_gain",
    "reward_increment_bound",
    "rlhf_optimum",
    "sums",
    "tail_rate",
    "tilt_limit",
    "trajectory",
    "two_level_map",
    "uncurated_kl_rate",
]
