"""Roots of functions that change sign once, by halving the interval that holds them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from curated_retraining.types import Array


def bisected(
    before: Callable[[Array], Array],
    ends: tuple[Array, Array],
    times: int,
    middle: Callable[[Array, Array], Array] = lambda near, far: (near + far) / 2,
) -> tuple[Array, Array]:
    """The `ends` `[...]`, near and far, of an interval after `times` halvings.

    Its middle becomes the near end where `before` holds there and else the far one, so that a root up to which `before`
    holds stays inside.
    """

    def halve(_, ends):
        near, far = ends
        at = middle(near, far)
        holds = before(at)
        return jnp.where(holds, at, near), jnp.where(holds, far, at)

    return jax.lax.fori_loop(0, times, halve, ends)
