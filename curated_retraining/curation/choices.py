"""Choices: how much each candidate of one group is wanted, as logits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from curated_retraining.types import SLACK, Array, Choice, floating, lift, require

Duel = Callable[[Array, Array], Array]  # x [*event], y [*event] -> [], the probability that x is preferred to y


def luce(temperature: float | Array = 1.0) -> Choice:
    """Chooses in proportion to `exp(reward / temperature)`; zero is best-of-k, ties broken evenly.

    The K-way Bradley-Terry (Plackett-Luce first choice) model. The temperature, at least 0, is data: it may be traced
    and vmapped.
    """
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    return Partial(_luce, temperature)


def crowd(
    fractions: ArrayLike | tuple[ArrayLike, ...],
    temperatures: ArrayLike | tuple[ArrayLike, ...] = 1.0,
    lapses: ArrayLike | tuple[ArrayLike, ...] = 0.0,
) -> Choice:
    """Shows each group to one annotator, whose type is drawn by `fractions`, and who then chooses as in `luce`.

    Σ_u q_u ((1 − ε_u) H^{K, r_u} + ε_u) (Zhao, Fu, Pham, arXiv 2511.09002); `theory.crowd_operator` is the exact one.
    Rewards come one column a type, `[k, types]`, from `rewards.stack`. Pluralistic curation, by reward 1 with
    probability q and else by reward 2 (arXiv 2605.07724), is `crowd((q, 1 - q))`. All arguments are data: they may be
    traced and vmapped.

    Args:
        fractions: q `[types]`, summing to one.
        temperatures: at least 0; one for all, or each type's own, `[types]`.
        lapses: ε in [0, 1], with what probability an annotator chooses at random instead; for all or `[types]`.
    """
    return Partial(_crowd, *types_of_annotators(fractions, temperatures, lapses))


def flipped(
    choice: Choice, share: float | Array, where: Callable[[Array], Array] = lambda x: jnp.ones(x.shape[0], bool)
) -> Choice:
    """Takes, with probability `share`, not the point that `choice` takes but one of the others, evenly.

    For `k` = 2 that flips the label of a comparison. A share of (k − 1) / k is a choice at random.
    `theory.flipped_operator` is the exact one.

    Args:
        choice: how the honest choose.
        share: in [0, 1]; data.
        where: points `[k, *event]` -> `[k]`, true where a point makes its group a target: a group without is left
            alone. Every group is one by default.
    """
    require("share", share, lambda f: (f >= 0) & (f <= 1), "is not a probability: take a number in [0, 1]")
    return Partial(_flipped, lift(choice), share, lift(where))


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


def types_of_annotators(fractions, temperatures, lapses) -> tuple[Array, Array]:
    """The shares and the temperatures of a crowd's types, `[types + 1]` each.

    The last are those who lapse: a type to whom all points are alike.
    """
    fractions, temperatures, lapses = (jnp.asarray(value, float) for value in (fractions, temperatures, lapses))
    if fractions.ndim != 1 or not {temperatures.shape, lapses.shape} <= {(), fractions.shape}:
        raise ValueError(
            f"fractions of shape {fractions.shape}, temperatures of shape {temperatures.shape} and lapses of shape "
            f"{lapses.shape}: give one fraction a type, and one of the others for all or a type"
        )
    require("fractions", fractions, lambda q: q >= 0, "are not shares: take numbers of at least 0")
    require("fractions", fractions, lambda q: abs(q.sum() - 1) < SLACK, "do not sum to 1: divide by their sum")
    require("temperatures", temperatures, lambda t: t >= 0, "are not temperatures: take numbers of at least 0")
    require("lapses", lapses, lambda e: (e >= 0) & (e <= 1), "are not probabilities: take numbers in [0, 1]")
    shares = jnp.append(fractions * (1 - lapses), fractions @ jnp.broadcast_to(lapses, fractions.shape))
    return shares, jnp.append(jnp.broadcast_to(temperatures, fractions.shape), 1.0)


def of_types(reward: Array, shares: Array) -> Array:
    """The reward of each type of a crowd with `shares` `[types + 1]`, those who lapse included."""
    if reward.shape[1:] != (shares.shape[0] - 1,):
        raise ValueError(
            f"a crowd of {shares.shape[0] - 1} types needs a reward of each, not the shape {reward.shape}: stack them"
        )
    return jnp.concatenate([reward, jnp.zeros_like(reward[:, :1])], axis=1)


def log_preference(reward: Array, temperature: Array | float) -> Array:
    """`reward / temperature`, shifted; its limit at zero is even among the best and nothing elsewhere."""
    reward = floating(single(reward))
    gap = reward - reward.max()
    safe = jnp.where(temperature == 0, 1.0, temperature)
    return jnp.where(temperature == 0, jnp.where(gap == 0, 0.0, -jnp.inf), gap / safe)


def single(reward: Array) -> Array:
    """`reward` if it is one float a point; several annotators are an error, and integers, whose differences wrap."""
    if reward.ndim != 1:
        raise ValueError(
            f"this choice takes one reward a point, not the shape {reward.shape}: end the reward in [:, 0], or combine "
            "its annotators first"
        )
    if not jnp.issubdtype(reward.dtype, jnp.floating):
        raise ValueError(f"this choice takes real rewards, not {reward.dtype}: let the reward end in .astype(float)")
    return reward


def _luce(temperature, key, x, reward):
    del key, x
    return log_preference(reward, temperature)


def _crowd(shares, temperatures, key, x, reward):
    del x
    own = jax.random.categorical(key, jnp.log(shares))
    return log_preference(of_types(reward, shares)[:, own], temperatures[own])


def _flipped(choice, share, where, key, x, reward):
    chosen = jax.nn.softmax(floating(choice(key, x, reward)))
    other = (1 - chosen) / (chosen.shape[0] - 1)
    return jnp.log(chosen + jnp.where(where(x).any(), share, 0.0) * (other - chosen))


def _pairwise(preference, key, x, reward):
    del key, reward
    wins = jax.vmap(jax.vmap(preference, in_axes=(None, 0)), in_axes=(0, None))(x, x)  # [k, k]: row beats column
    if wins.shape != x.shape[:1] * 2:
        raise ValueError(f"a preference between two points returned the shape {wins.shape[2:]}: return one number")
    meant = (wins >= 0) & (jnp.abs(wins + wins.T - 1) < SLACK) | jnp.eye(x.shape[0], dtype=bool)
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
