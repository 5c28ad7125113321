"""Identities of one generation and of the pure loop (λ = ∞), exact for every real K ≥ 1."""

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining.theory.operator import Operator, k_way_operator
from curated_retraining.types import Array, floating


def reward_gain(
    p: Array,
    r: Array,
    *,
    k: Array | float,
    chosen_by: Array | Operator | None = None,
    temperature: Array | float = 1.0,
    reward_range: float = 100.0,
) -> Array:
    """By how much one generation of the pure loop changes E[e^r]: Cov_p(e^r, H^K), `[]`.

    Where the annotators choose by `r` itself it is E[V̂_K / ā_K], the biased variance over the mean of the K values of
    e^r (Ferbach et al. 2024, proof of the increment bound). Where they choose by another reward `chosen_by` `[s]`, as
    adversaries do, it may be negative; at K = ∞ it is Cov_p(e^r, e^{r'}) / E_p[e^{r'}], so that the true reward rises
    exactly while that covariance is at least zero (Wei, Zhang 2025). Where it is no single reward that they choose by,
    `chosen_by` is the operator of their choice.
    """
    judged = r if chosen_by is None else chosen_by
    operator = (
        judged if callable(judged) else k_way_operator(judged, temperature=temperature, reward_range=reward_range)
    )
    p, r = floating(p), floating(r)
    ratio = operator(p, k)
    best = jnp.where(p > 0, r, -jnp.inf).max()
    relative = jnp.where(p > 0, jnp.exp(r - best), 0.0)
    change = jnp.where(p > 0, ratio - 1, 0.0)  # H may be infinite where there is no mass
    return (p @ ((relative - p @ relative) * change)) * jnp.exp(best)


def two_level_map(top: Array | float, *, k: int, gap: Array | float) -> Array:
    """The next share of the better of two reward levels, `gap` Δ apart, in the pure loop, `[]`; vmap it for more.

    P' = Σ_i C(K, i) P^i (1 − P)^{K−i} i / (i + (K − i) e^{−Δ}), for whole K ≥ 1 and `top` P in [0, 1].

    Raises:
        ValueError: where `k` is not whole or below 1.
    """
    if k != int(k) or k < 1:
        raise ValueError(f"k={k} is not a whole group size: take 1 or more, or theory.retrain for a real one")
    i = np.arange(k + 1)
    top = jnp.asarray(top, float)
    log_choices = np.cumsum(np.log((k + 1 - i) / np.maximum(i, 1)) * (i > 0))
    log_chance = log_choices + jax.scipy.special.xlogy(i, top) + jax.scipy.special.xlog1py(k - i, -top)
    chance = jax.nn.softmax(log_chance)  # of sum one, which rounding of the large logarithms would change
    return jnp.sum(chance * (i / (i + (k - i) * jnp.exp(-jnp.asarray(gap, float)))))


def kl_to_pure_limit(p: Array, r: Array) -> Array:
    """KL(p_* ‖ p) = −log P(A) nats to the limit of the pure loop from `p`, A = {r = max over p > 0}, `[]`.

    It decreases along the loop (Ferbach et al. 2024, convergence theorem).
    """
    best = jnp.where(p > 0, r, -jnp.inf).max()
    return -jnp.log(jnp.sum(jnp.where(r == best, p, 0.0)))
