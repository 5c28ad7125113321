"""What curated retraining does to a population, exactly; shares no code with the sampled loop."""

from curated_retraining.theory.alignment import best_of_n, best_of_n_kl_ceiling, dpo_loss, policy_gradient, tradeoff
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
from curated_retraining.theory.moving import follow_the_kept, moving_trajectory
from curated_retraining.theory.nodes import sums
from curated_retraining.theory.operator import crowd_operator, k_way_operator, k_way_ratio
from curated_retraining.theory.pairwise import pairwise_operator, pairwise_ratio, pairwise_trajectory
from curated_retraining.theory.pure import kl_to_pure_limit, reward_gain, two_level_map
from curated_retraining.theory.selection import propensity_ratio, rebalance, threshold_ratio, top_fraction_ratio
from curated_retraining.theory.several import (
    alignment,
    coupled_means,
    curation_influence,
    interact,
    interacting_trajectory,
    turning_strength,
)
from curated_retraining.theory.tilt import condensed_mass, implied_rlhf, rlhf_optimum, tilt_limit

__all__ = [
    "alignment",
    "basin_map",
    "best_of_n",
    "best_of_n_kl_ceiling",
    "condensed_mass",
    "contraction_rate",
    "coupled_means",
    "course",
    "crowd_operator",
    "crowd_potential",
    "curated_share",
    "curation_influence",
    "dpo_loss",
    "effective_k",
    "flipped_operator",
    "follow_the_kept",
    "implied_rlhf",
    "interact",
    "interacting_trajectory",
    "k_way_operator",
    "k_way_ratio",
    "kl_ceiling",
    "kl_to_pure_limit",
    "mixed_limit",
    "moving_trajectory",
    "pairwise_operator",
    "pairwise_ratio",
    "pairwise_trajectory",
    "pluralistic_limit",
    "policy_gradient",
    "propensity_ratio",
    "pure_limit",
    "real_kl_ceiling",
    "rebalance",
    "retrain",
    "reward_floor",
    "reward_gain",
    "reward_increment_bound",
    "rlhf_optimum",
    "sums",
    "tail_rate",
    "threshold_ratio",
    "tilt_limit",
    "top_fraction_ratio",
    "tradeoff",
    "trajectory",
    "turning_strength",
    "two_level_map",
    "uncurated_kl_rate",
]
