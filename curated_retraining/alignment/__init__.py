"""Preference optimisation of a model with a density, by gradients, on the reward that curation reads.

Each method is a model whose refit optimises, so that one generation of `retraining` plays it. Reward-weighted
regression needs nothing here: it is the loop curated by `tilt`; best-of-n distillation is one generation curated by
`k_way` at temperature 0, or by `best_of` where n is data.
"""

from curated_retraining.alignment.best_of import best_of
from curated_retraining.alignment.dpo import Pairs, dpo, pairs
from curated_retraining.alignment.policy import Policy, network, softmax
from curated_retraining.alignment.reinforce import reinforce

__all__ = ["Pairs", "Policy", "best_of", "dpo", "network", "pairs", "reinforce", "softmax"]
