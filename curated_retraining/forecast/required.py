"""How much real data prevents a loss."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.forecast.problem import CHUNK, Fixed, Problem, course, entropy, pose, shares
from curated_retraining.theory.roots import bisected
from curated_retraining.types import Array, require

GRID = 33  # real shares that are tried first


class RealShare(NamedTuple):
    """How much real data it takes."""

    share: Array  # [], the real share 1 / (1 + λ) of what is trained on; NaN where even real data alone do not do
    lam: Array  # [], the same as λ = #curated / #real


def required_real_share(
    reward: Array,
    label: Array | None = None,
    *,
    keep: tuple[int, float] | None = None,
    entropy_floor: float | None = None,
    **options: Any,
) -> RealShare:
    """The smallest real share that keeps a class, or the entropy, above a floor in every generation from 1 on.

    `keep` is (class, floor of its share), `entropy_floor` in nats of the class shares; or both. Every larger share
    keeps them too: 33 shares from 0 to 1 are followed, and a bisection begins at the last that fails; exact to
    1e-6 in float64 and, by roundings, to 2e-5 in float32.
    `options` are the arguments of `forecast` but λ.

    Raises:
        ValueError: as `forecast`, or where no floor or an impossible one is given.
    """
    fixed, problem = pose(reward, label, lam=0.0, **options)
    if fixed.generations < 1:
        raise ValueError(f"generations={fixed.generations} has no retraining to keep anything in: take 1 or more")
    if keep is None and entropy_floor is None:
        raise ValueError("keep=None and entropy_floor=None: say what is to be kept, such as keep=(0, 0.05)")
    if keep is not None and not (0 <= keep[0] < fixed.classes and 0 < keep[1] < 1):
        raise ValueError(f"keep={keep} is not a class of 0 to {fixed.classes - 1} and a share between 0 and 1")
    require("entropy_floor", entropy_floor or 0.0, lambda v: v >= 0, "is not an entropy: take 0 or more")
    share = _required(fixed, problem, *((0, -1.0) if keep is None else keep), entropy_floor or 0.0)
    return RealShare(share, (1 - share) / share)


@partial(jax.jit, static_argnums=0)
def _required(fixed: Fixed, problem: Problem, label, floor, entropy_floor) -> Array:
    """The smallest real share from which on the class `label` and the entropy keep their floors."""

    rounding = 64 * jnp.finfo(problem.p_0.dtype).eps  # a floor may be what there is

    def margin(share):
        """By how much they are kept in the worst generation."""
        mixed = problem._replace(lam=(1 - share) / share)
        share_of_class = course(fixed, mixed, partial(shares, fixed, mixed))[1:]
        worst = jax.vmap(entropy)(share_of_class).min()
        return jnp.minimum(share_of_class[:, label].min() - floor, worst - entropy_floor) + rounding

    def fails(share):
        return ~(margin(share) >= 0)  # NaN keeps nothing

    grid = jnp.linspace(0.0, 1.0, GRID, dtype=problem.p_0.dtype)
    last = jnp.max(jnp.where(jax.lax.map(fails, grid, batch_size=CHUNK), jnp.arange(GRID), -1))
    ends = grid[jnp.maximum(last, 0)], grid[jnp.minimum(last + 1, GRID - 1)]
    _, found = bisected(fails, ends, 16)
    return jnp.where(last < 0, 0.0, jnp.where(last == GRID - 1, jnp.nan, found))
