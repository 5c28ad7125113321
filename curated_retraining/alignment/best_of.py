"""The choice of best-of-n with n as data."""

import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.curation.choices import log_preference, single
from curated_retraining.types import Array, Choice, require


def best_of(n: int | Array) -> Choice:
    """Chooses the best of the first `n` of a group, ties broken evenly; the others of the group are not looked at.

    For `k_way(k, best_of(n))` with k ≥ n, whose n is data: it may be traced and vmapped. A group smaller than n cannot
    be decided, which `k_way` reports.
    """
    require("n", n, lambda n: n >= 1, "leaves nothing to choose from: take 1 or more")
    return Partial(_best_of, n)


def _best_of(n, key, x, reward):
    del key, x
    seen = jnp.arange(reward.shape[0]) < n
    logits = log_preference(jnp.where(seen, single(reward), -jnp.inf), 0.0)
    return jnp.where(n <= reward.shape[0], logits, jnp.nan)
