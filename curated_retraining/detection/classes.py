"""What counts of classes alone tell of a generation's curation, where no reward is known.

With K known the rewards of the classes follow, if each class has one, up to a constant and in units of τ. Without K
they do not: any larger K has rewards that make the same classes grow. But no choice at all makes a set of classes A
larger than the chance that one of the K is in it, P'(A) ≤ 1 − (1 − P(A))^K, and that bounds K from below.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining import theory
from curated_retraining.theory.roots import bisected
from curated_retraining.types import Array, require

STEPS = 1000
RANGE = 64.0  # of the rewards of classes


class ClassRewards(NamedTuple):
    """What people feel about classes, in units of τ; the mean over generation t is 0."""

    reward: Array  # [classes]; NaN where no rewards make the classes change like that at this K
    error: Array  # [classes], standard errors


def class_rewards(before: Array, after: Array, k: Array | float) -> ClassRewards:
    """The rewards r / τ of classes that make curation by K lead from the counts `before` `[classes]` to `after`.

    The maximum of the likelihood, for the pure loop (λ = ∞) and one reward a class: p·H^K_p is the gradient of the
    convex E[log Σ_k e^{r(x_k)}], so that it is the only one. It is found by r ← r + log(p' / p·H), which for K = ∞ is
    there in one step. Standard errors are those of both counts (implicit function theorem).

    Raises:
        ValueError: where counts are not of the same classes, or below 1, or K is below 2.
    """
    before, after = _counts(before, after, 1)
    require("k", k, lambda k: k >= 2, "is not a group to choose from: take a number of at least 2, or inf")
    return _class_rewards(before, after, jnp.asarray(k, before.dtype))


def least_k(before: Array, after: Array, *, level: Array | float = 0.9) -> Array:
    """The least K that leads from counts `before` `[classes]` to `after` in the pure loop (λ = ∞), `[]`.

    It holds with confidence `level` whatever the rule of choice and whoever chooses: K ≥ log(1 − P'(A)) / log(1 − P(A))
    for every set A of classes. The sets looked at are the classes that grew most, one more at a time. Bounds on P and
    P' are Chernoff's, for all 2^classes sets at once: they hold for any number of samples, and are cautious. A set that
    real data have less of than p_{t+1} grows the more slowly for them, so that its bound holds for any λ.

    Raises:
        ValueError: where counts are not of the same classes, or a sample is empty, or `level` is outside (0, 1).
    """
    before, after = _counts(before, after, 0)
    require("level", level, lambda p: (p > 0) & (p < 1), "is not a confidence: take a number between 0 and 1")
    n, m = before.sum(), after.sum()
    order = jnp.argsort(-(after / m + 1 / m) / (before / n + 1 / n))
    share, later = (jnp.cumsum(counts[order])[:-1] / counts.sum() for counts in (before, after))
    odds = jnp.log(2.0) * (1 + before.shape[0]) - jnp.log1p(-jnp.asarray(level, before.dtype))
    highest, lowest = _chernoff(share, odds / n, 1.0), _chernoff(later, odds / m, 0.0)
    return jnp.max(jnp.log1p(-lowest) / jnp.log1p(-highest), initial=1.0)


@jax.jit
def _class_rewards(before, after, k):
    p, target = before / before.sum(), after / after.sum()

    def made(p, r):
        return p * theory.k_way_ratio(p, r, k, reward_range=RANGE)

    def closer(_, r):
        r = r + jnp.log(target) - jnp.log(made(p, r))
        return jnp.clip(r - r.max(), -RANGE, 0.0)

    r = jax.lax.fori_loop(0, STEPS, closer, jnp.zeros_like(p))
    missed = jnp.abs(made(p, r) / target - 1).max() >= 1e-3  # relative: of a rare class any growth is a small number
    by_p, by_r = jax.jacobian(made, argnums=(0, 1))(p, r)
    solve = jnp.linalg.pinv(by_r, rtol=1e-5)  # a constant changes nothing

    def spread(p, counts):
        return (jnp.diag(p) - jnp.outer(p, p)) / counts.sum()

    centre = jnp.eye(len(p)) - p[None]
    from_after, from_before = centre @ solve, -centre @ solve @ by_p - jnp.outer(jnp.ones_like(p), r)
    covariance = from_after @ spread(target, after) @ from_after.T + from_before @ spread(p, before) @ from_before.T
    found = ClassRewards(r - p @ r, jnp.sqrt(jnp.diag(covariance)))
    return jax.tree.map(lambda values: jnp.where(missed, jnp.nan, values), found)


def _chernoff(share: Array, budget: Array, end: float) -> Array:
    """The share furthest towards `end` with KL(`share` ‖ it) <= `budget`: P(beyond) <= e^{−n · budget}."""

    def divergence(q):
        return jax.scipy.special.xlogy(share, share / q) + jax.scipy.special.xlogy(1 - share, (1 - share) / (1 - q))

    return bisected(lambda q: divergence(q) <= budget, (share, jnp.full_like(share, end)), 40)[1]


def _counts(before, after, least):
    if np.ndim(before) != 1 or np.shape(before) != np.shape(after) or np.shape(before)[0] < 2:
        shapes = f"{np.shape(before)} and {np.shape(after)}"
        raise ValueError(f"before and after of shapes {shapes} do not count the same two or more classes")
    for name, counts in (("before", before), ("after", after)):
        require(name, counts, lambda c: c >= least, f"has a count below {least}: leave out or unite such classes")
        require(name, counts, lambda c: c.sum() > 0, "counts no samples: give one or more")
    return jnp.asarray(before, float), jnp.asarray(after, float)
