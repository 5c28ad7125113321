"""Functions of the reward on nodes, for supports too large to visit point by point.

The rewards are cut into cells of width 0.25 with six Chebyshev nodes each. What curation does with a reward is analytic
in a strip of half-width π/2 around the real line, twelve times a cell's half-width, so that interpolation within a cell
has an error of order 25^−6, relative to the function's size there.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from curated_retraining.types import Array

WIDTH, ORDER = 0.25, 6


def on_nodes(gap: Array, reward_range: float) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
    """Nodes for rewards `gap` `[s]` in [−reward_range, 0], and the two ways between points and nodes.

    Returns:
        the rewards of the nodes, `[m]` with m = 24 `reward_range`;
        masses at points `[s]` -> weights at nodes `[m]` (some negative) with the same integrals of smooth functions;
        values at nodes `[m]` -> values at points `[s]`.
    """
    cells = int(np.ceil(reward_range / WIDTH))
    unit = np.cos(np.pi * (np.arange(ORDER) + 0.5) / ORDER)  # in [−1, 1]
    to_powers = jnp.asarray(np.linalg.inv(np.vander(unit, increasing=True)), gap.dtype)  # values -> coefficients
    centre = -(np.arange(cells) + 0.5) * WIDTH
    nodes = jnp.asarray(centre[:, None] + WIDTH / 2 * unit, gap.dtype).ravel()

    cell = jnp.clip(jnp.floor(-gap / WIDTH).astype(int), 0, cells - 1)
    place = (gap - jnp.asarray(centre, gap.dtype)[cell]) * (2 / WIDTH)  # within the cell, in [−1, 1]

    def spread(p):
        moments, power = [], p
        for _ in range(ORDER):  # one scatter a power is faster than one of rows
            moments.append(sums(cell, power, cells))
            power = power * place
        return (jnp.stack(moments, axis=-1) @ to_powers).ravel()

    def at_points(values):
        coefficients = values.reshape(cells, ORDER) @ to_powers.T
        found = coefficients[:, -1][cell]
        for power in reversed(range(ORDER - 1)):
            found = found * place + coefficients[:, power][cell]
        return found

    return nodes, spread, at_points


def sums(index: Array, values: Array, num: int) -> Array:
    """Σ of the `values` `[s]` at each of `num` indices, `[num]`.

    By way of √s partial sums: added one by one, a million float32 are off by as much as 1 %.
    """
    parts = math.isqrt(values.shape[0])
    part = jnp.arange(values.shape[0]) % parts
    return jnp.zeros((parts, num), values.dtype).at[part, index].add(values).sum(axis=0)
