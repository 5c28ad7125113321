"""Choices: how much each candidate of one group is wanted, as logits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from curated_retraining.types import Array, Choice, lift, require

Duel = Callable[[Array, Array], Array]  # x [*event], y [*event] -> [], the probability that x is preferred to y

_SLACK = 1e-4  # of probabilities that should sum to one: rounding, and numbers typed with a few digits


def luce(temperature: float | Array = 1.0) -> Choice:
    """Chooses in proportion to `exp(reward / temperature)`; zero is best-of-k, ties broken evenly.

    The K-way Bradley-Terry (Plackett-Luce first choice) model. The temperature is data: it may be traced and vmapped.
    """
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    return Partial(_luce, temperature)


def crowd(
    fractions: ArrayLike | tuple[ArrayLike, ...], temperatures: ArrayLike | tuple[ArrayLike, ...] = 1.0
) -> Choice:
    """Shows each group to one annotator, whose type is drawn by `fractions`, and who then chooses as in `luce`.

    Σ_u q_u H^{K, r_u} (Zhao, Fu, Pham, arXiv 2511.09002); `theory.crowd_operator` is the exact one. Rewards come one
    column a type, `[k, types]`, from `rewards.stack`. Pluralistic curation, by reward 1 with probability q and else by
    reward 2 (arXiv 2605.07724), is `crowd((q, 1 - q))`. Both arguments are data: they may be traced and vmapped.

    Args:
        fractions: q `[types]`, summing to one.
        temperatures: one for all, or each type's own, `[types]`.
    """
    fractions, temperatures = jnp.asarray(fractions, float), jnp.asarray(temperatures, float)
    if fractions.ndim != 1 or temperatures.shape not in ((), fractions.shape):
        raise ValueError(
            f"fractions of shape {fractions.shape} and temperatures of shape {temperatures.shape}: "
            "give one fraction a type, and one temperature for all or a type"
        )
    require("fractions", fractions, lambda q: q >= 0, "are not shares: take numbers of at least 0")
    require("fractions", fractions, lambda q: abs(q.sum() - 1) < _SLACK, "do not sum to 1: divide by their sum")
    require("temperatures", temperatures, lambda t: t >= 0, "are not temperatures: take numbers of at least 0")
    return Partial(_crowd, fractions, jnp.broadcast_to(temperatures, fractions.shape))


def pairwise(preference: Duel) -> Choice:
    """Chooses by duels: of two, x with probability `preference(x, y)`, which need not come from any reward.

    Of more than two: the champion meets a challenger drawn evenly from the rest, again and again, and each is chosen
    with its share of the time as champion. That is the stationary distribution of Rank Centrality (Negahban, Oh, Shah
    2017, arXiv 1209.1688): `luce` itself where P(x, y) = σ(r(x) − r(y)), the best where duels are certain and
    transitive, and evenly the members of a symmetric cycle such as rock, paper and scissors. `theory.pairwise_ratio`
    is the exact operator on a finite support. Rewards are not read.

    Args:
        preference: two points `[*event]` -> `[]` in [0, 1], with P(x, y) + P(y, x) = 1, hence 1/2 between equals; a
            group in which that fails cannot be decided, which `k_way` reports. What a `Partial` holds is data.
    """
    return Partial(_pairwise, lift(preference))


def log_preference(reward: Array, temperature: Array | float) -> Array:
    """`reward / temperature`, shifted; its limit at zero is even among the best and nothing elsewhere."""
    gap = single(reward) - reward.max()
    safe = jnp.where(temperature == 0, 1.0, temperature)
    return jnp.where(temperature == 0, jnp.where(gap == 0, 0.0, -jnp.inf), gap / safe)


def single(reward: Array) -> Array:
    """`reward` if it is one float a point; several annotators are an error, and integers, whose differences wrap."""
    if reward.ndim != 1:
        raise ValueError(
            f"this choice takes one reward a point, not the shape {reward.shape}: combine the annotators first"
        )
    if not jnp.issubdtype(reward.dtype, jnp.floating):
        raise ValueError(f"this choice takes real rewards, not {reward.dtype}: let the reward end in .astype(float)")
    return reward


def _luce(temperature, key, x, reward):
    del key, x
    return log_preference(reward, temperature)


def _crowd(fractions, temperatures, key, x, reward):
    del x
    if reward.shape[1:] != fractions.shape:
        raise ValueError(
            f"a crowd of {fractions.shape[0]} types needs a reward of each, not the shape {reward.shape}: stack them"
        )
    own = jax.random.categorical(key, jnp.log(fractions))
    return log_preference(reward[:, own], temperatures[own])


def _pairwise(preference, key, x, reward):
    del key, reward
    wins = jax.vmap(jax.vmap(preference, in_axes=(None, 0)), in_axes=(0, None))(x, x)  # [k, k]: row beats column
    if wins.shape != x.shape[:1] * 2:
        raise ValueError(f"a preference between two points returned the shape {wins.shape[2:]}: return one number")
    meant = (wins >= 0) & (jnp.abs(wins + wins.T - 1) < _SLACK) | jnp.eye(x.shape[0], dtype=bool)
    return jnp.where(meant.all(), jnp.log(_time_as_champion(wins.T)), jnp.nan)


def _time_as_champion(rate: Array) -> Array:
    """The stationary distribution `[k]` of moves from row to column at `rate` `[k, k]`, whose diagonal is not read.

    By state reduction without subtractions (Grassmann, Taksar, Heyman 1985), so that rare wins keep their digits and
    certain ones are no exception: of any two one can beat the other, so there is one recurrent class.
    """
    reduced = []
    for last in range(rate.shape[0] - 1, 0, -1):
        into, out = rate[:last, last], rate[last, :last]
        leaves = out.sum()
        reduced.append((into, leaves))
        rate = rate[:last, :last] + jnp.outer(into, out / jnp.where(leaves > 0, leaves, 1.0))
    share = jnp.ones(1, rate.dtype)
    for into, leaves in reversed(reduced):
        share = jnp.append(share * leaves, share @ into)
        share = share / share.sum()
    return share
