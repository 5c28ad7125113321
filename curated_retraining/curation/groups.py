"""Curation by groups: one point of each is kept."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.types import Array, Choice, Curator, Dataset, PRNGKey, Static, floating, lift, require


def k_way(k: int, choice: Choice) -> Curator:
    """Keeps one point of each group of `k`, chosen by `choice`: n points become exactly n / k, evenly weighted.

    The groups are the consecutive, disjoint rows of a pool of independent samples, hence fresh for each choice: the
    n / k choices are independent draws of p·H^K (the paper's eq. 1 and 2; theory.k_way_ratio is the exact H^K).
    A group that `choice` cannot decide, by NaN or no logit above −∞, makes the weights NaN: seen in effective_size.

    Raises:
        ValueError: where `k` < 2, or a pool does not split into groups of `k`.
    """
    return Partial(_k_way, _group_size(k), lift(choice))


def inverse_propensity(k: int, choice: Choice, exponent: float | Array = 1.0) -> Curator:
    """`k_way` whose points weigh in proportion to P(chosen among its group)^−exponent: part of the bias is undone.

    At exponent 1 the weighted points estimate the uncurated pool, as Hájek (1971) does: averages over groups are
    unbiased but for the common factor that makes weights sum to one, a bias of order k / n. At 0 it is `k_way`.
    `theory.propensity_ratio` is the exact operator between. Choices that are certain (temperature 0) tell nothing of
    those who were not chosen, and their weights are even. The exponent is data: it may be traced and vmapped.

    Raises:
        ValueError: as `k_way`, or where `exponent` is outside [0, 1].
    """
    require("exponent", exponent, lambda e: (e >= 0) & (e <= 1), "undoes no part of a bias: take a number in [0, 1]")
    return Partial(_inverse_propensity, _group_size(k), lift(choice), exponent)


def rounds(curate: Curator, num: int) -> Curator:
    """Curates one pool `num` ≥ 1 times, each time shuffled and regrouped: `num` times as many points, evenly shared.

    Cheaper than a larger pool, but the rounds see the same points, so their choices are not independent.
    """
    if num < 1:
        raise ValueError(f"num={num} is not a number of rounds: take 1 or more")
    return Partial(_rounds, Static(num), lift(curate))


def choose(key: PRNGKey, choice: Choice, groups: Array, rewards: Array) -> tuple[Array, Array]:
    """Whom `choice` takes of each of `groups` `[g, k, *event]` with `rewards` `[g, k]` or `[g, k, annotators]`: `[g]`.

    And, `[]`, whether all could be decided: NaN and no logit above −∞ are no choice.
    """
    chosen, logits = _chosen(key, choice, groups, rewards)
    return chosen, _decided(logits)


def _chosen(key: PRNGKey, choice: Choice, groups: Array, rewards: Array) -> tuple[Array, Array]:
    """Whom `choice` takes of each group, `[g]`, and by which logits, `[g, k]`."""
    num, k = groups.shape[:2]
    choice_key, gumbel_key = jax.random.split(key)
    logits = floating(jax.vmap(choice)(jax.random.split(choice_key, num), groups, rewards))
    if logits.shape != (num, k):
        raise ValueError(
            f"a choice among {k} returned logits of shape {logits.shape[1:]}: return one number a candidate"
        )
    return jnp.argmax(logits + jax.random.gumbel(gumbel_key, logits.shape, logits.dtype), axis=-1), logits


def _group_size(k: int) -> Static:
    if k < 2 or k != int(k):
        raise ValueError(f"k={k} leaves nothing to choose from: take groups of 2 or more, a whole number")
    return Static(int(k))


def _decided(logits: Array) -> Array:
    return jnp.all(logits.max(axis=-1) > -jnp.inf)


def _k_way(size: Static, choice: Choice, key: PRNGKey, pool: Array, reward: Array) -> Dataset:
    x, logits, _ = _kept(size, choice, key, pool, reward)
    return Dataset(x, jnp.where(_decided(logits), jnp.full(len(x), 1 / len(x), float), jnp.nan))


def _inverse_propensity(
    size: Static, choice: Choice, exponent: Array | float, key: PRNGKey, pool: Array, reward: Array
) -> Dataset:
    x, logits, chosen = _kept(size, choice, key, pool, reward)
    log_chance = jnp.take_along_axis(jax.nn.log_softmax(logits), chosen[:, None], axis=-1)[:, 0]
    return Dataset(x, jnp.where(_decided(logits), jax.nn.softmax(-exponent * log_chance), jnp.nan))


def _kept(size: Static, choice: Choice, key: PRNGKey, pool: Array, reward: Array) -> tuple[Array, Array, Array]:
    """The points kept, `[n / k, *event]`, the logits of their groups `[n / k, k]` and their places there `[n / k]`."""
    k, n = size.value, pool.shape[0]
    if n % k:
        raise ValueError(f"a pool of {n} does not split into groups of {k}: take a multiple of {k}")
    groups, rewards = (a.reshape(n // k, k, *a.shape[1:]) for a in (pool, reward))
    chosen, logits = _chosen(key, choice, groups, rewards)
    return pool[jnp.arange(0, n, k) + chosen], logits, chosen


def _rounds(num: Static, curate: Curator, key: PRNGKey, pool: Array, reward: Array) -> Dataset:
    def one(key):
        shuffle_key, curate_key = jax.random.split(key)
        order = jax.random.permutation(shuffle_key, pool.shape[0])
        return curate(curate_key, pool[order], reward[order])

    each = jax.lax.map(one, jax.random.split(key, num.value))
    return Dataset(each.x.reshape(-1, *pool.shape[1:]), each.weight.reshape(-1) / num.value)
