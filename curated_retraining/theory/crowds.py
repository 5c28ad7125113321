"""Annotators who disagree: types u with shares q_u and rewards r_u (Zhao, Fu, Pham 2025; arXiv 2605.07724)."""

import jax

from curated_retraining.theory.dynamics import pure_limit
from curated_retraining.types import Array


def crowd_potential(p: Array, r: Array, users: Array) -> Array:
    """W(p) = Σ_u q_u log E_p[e^{r_u}], `[]`, which the pure loop at K = ∞ never lowers.

    `r` `[types, s]`, `users` `[types]` sum to one. The loop is the EM, or Cover's portfolio, update of this concave
    function (Zhao, Fu, Pham, arXiv 2511.09002).
    """
    return users @ jax.vmap(lambda row: jax.nn.logsumexp(row, b=p))(r)


def pluralistic_limit(p_0: Array, r: Array, users: Array) -> Array:
    """Σ_u q_u p_0 restricted to the best level of r_u, `[s]`: where the pure loop ends if the basins are separated.

    Separated: each type finds what the others like best worthless beside its own best, e^{r_u} there is negligible.
    Then the K = ∞ loop, which maximises Π_u E_p[e^{r_u}]^{q_u} (a Nash product), puts the share q_u on each type's
    best, and diversity survives (arXiv 2605.07724).
    """
    return users @ jax.vmap(pure_limit, in_axes=(None, 0))(p_0, r)
