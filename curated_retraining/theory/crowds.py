"""Annotators who disagree: types u with shares q_u and rewards r_u (Zhao, Fu, Pham 2025; arXiv 2605.07724)."""

import jax
import jax.numpy as jnp

from curated_retraining.theory.dynamics import pure_limit
from curated_retraining.theory.operator import Operator, log_mean_exp, require_group_size
from curated_retraining.types import Array, floating, require


def crowd_potential(p: Array, r: Array, users: Array) -> Array:
    """W(p) = Σ_u q_u log E_p[e^{r_u}], `[]`, which the pure loop at K = ∞ never lowers.

    `r` `[types, s]`, `users` `[types]` sum to one. The loop is the EM, or Cover's portfolio, update of this concave
    function (Zhao, Fu, Pham, arXiv 2511.09002). Those who lapse like all points alike, and add log 1 to it: with lapses
    ε_u it is the same with q_u (1 − ε_u) for q_u. At finite K it may fall: see `basin_map`.
    """
    return users @ jax.vmap(lambda row: log_mean_exp(floating(p), row))(floating(r))


def pluralistic_limit(p_0: Array, r: Array, users: Array) -> Array:
    """Σ_u q_u p_0 restricted to the best level of r_u, `[s]`: where the pure loop ends if the basins are separated.

    Separated: each type finds what the others like best worthless beside its own best, e^{r_u} there is negligible.
    Then the K = ∞ loop, which maximises Π_u E_p[e^{r_u}]^{q_u} (a Nash product), puts the share q_u on each type's
    best, and diversity survives (arXiv 2605.07724).
    """
    return users @ jax.vmap(pure_limit, in_axes=(None, 0))(p_0, r)


def basin_map(share: Array, users: Array, *, k: Array | float) -> Array:
    """The next shares `[types]` of separated basins, one a type, in the pure loop at any K.

    P_v' = q_v (1 − (1 − P_v)^K) + P_v Σ_{u≠v} q_u (1 − P_u)^{K−1}: each type takes one of its own basin where the group
    has one, and else any, for all others are alike to it. At K = ∞ that is q at once. At finite K basins q and 1 − q
    end nearer to the majority's; the minority's vanishes for q ≤ 1/K, which at K = 2 is any minority.
    """
    require_group_size(k)
    share = floating(share)
    none = (1 - share) ** (jnp.asarray(k, share.dtype) - 1)
    others = users @ none - users * none
    return users * (1 - (1 - share) * none) + share * others


def flipped_operator(operator: Operator, flip: Array | float, where: Array | None = None) -> Operator:
    """The operator where, with probability f = `flip`, one of the others of the group is taken, evenly.

    (1 − f) H + f (K − H) / (K − 1), which is 1, a choice at random, at f = (K − 1) / K. At K = ∞ one of the others is
    anyone. With `where` `[s]`, true on a set C, only groups with a point of C are flipped: H less what groups without
    one make up of it, P(not C)^{K−1} H_{p | not C} outside of C, and K less the same without H_{p | not C}.
    """
    require("flip", flip, lambda f: (f >= 0) & (f <= 1), "is not a probability: take a number in [0, 1]")

    def left_alone(p, k):
        if where is None:
            return jnp.zeros_like(p), jnp.zeros_like(p)
        rest = jnp.where(where, 0.0, p)
        mass = rest.sum()
        apart = jnp.where(where | (mass == 0), 0.0, mass ** (jnp.asarray(k, rest.dtype) - 1))
        ratio = operator(rest / jnp.where(mass > 0, mass, 1.0), k)  # may be infinite in C, where there is no mass
        return apart, jnp.where(apart > 0, apart * ratio, 0.0)

    def flipped(p: Array, k: Array | float) -> Array:
        apart, spared = left_alone(p, k)
        hit = operator(p, k) - spared
        others = jnp.where(jnp.isinf(k), 1 - apart, (k * (1 - apart) - hit) / (k - 1))
        return spared + (1 - flip) * hit + flip * others

    return flipped
