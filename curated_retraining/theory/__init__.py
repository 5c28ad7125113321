"""What curated retraining does to a population, exactly; shares no code with the sampled loop."""

from curated_retraining.theory.bounds import (
    effective_k,
    kl_ceiling,
    reward_floor,
    reward_increment_bound,
    tail_rate,
)
from curated_retraining.theory.dynamics import curated_share, mixed_limit, pure_limit, retrain, trajectory
from curated_retraining.theory.operator import k_way_operator, k_way_ratio

__all__ = [
    "curated_share",
    "effective_k",
    "k_way_operator",
    "k_way_ratio",
    "kl_ceiling",
    "mixed_limit",
    "pure_limit",
    "retrain",
    "reward_floor",
    "reward_increment_bound",
    "tail_rate",
    "trajectory",
]
