"""Curation: who is kept of a pool that has been scored."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining import data
from curated_retraining.types import Array, Choice, Curator, Dataset, PRNGKey, Static, lift, require


def k_way(k: int, choice: Choice) -> Curator:
    """Keeps one point of each group of `k`, chosen by `choice`: n points become exactly n / k, evenly weighted.

    The groups are the consecutive, disjoint rows of a pool of independent samples, hence fresh for each choice: the
    n / k choices are independent draws of p·H^K (the paper's eq. 1 and 2; theory.k_way_ratio is the exact H^K).

    Raises:
        ValueError: where `k` < 2, or a pool does not split into groups of `k`.
    """
    if k < 2:
        raise ValueError(f"k={k} leaves nothing to choose from: take groups of 2 or more")
    return Partial(_k_way, Static(k), lift(choice))


def luce(temperature: float | Array = 1.0) -> Choice:
    """Chooses in proportion to `exp(reward / temperature)`; zero is best-of-k, ties broken evenly.

    The K-way Bradley-Terry (Plackett-Luce first choice) model. The temperature is data: it may be traced and vmapped.
    """
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    return Partial(_luce, temperature)


def rounds(curate: Curator, num: int) -> Curator:
    """Curates one pool `num` times, each time shuffled and regrouped: `num` times as many points, evenly shared.

    Cheaper than a larger pool, but the rounds see the same points, so their choices are not independent.
    """
    if num < 1:
        raise ValueError(f"num={num} is not a number of rounds: take 1 or more")
    return Partial(_rounds, Static(num), lift(curate))


def tilt(temperature: float | Array = 1.0) -> Curator:
    """Weights all points in proportion to `exp(reward / temperature)`, zero the best only: `k_way` for K → ∞."""
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    return Partial(_tilt, temperature)


def top_fraction(share: float | Array) -> Curator:
    """Keeps the best `share` of the pool, by weight; points that tie at the edge share what is left evenly."""
    require("share", share, lambda q: (q > 0) & (q <= 1), "is not a share to keep: take a number in (0, 1]")
    return Partial(_top_fraction, share)


def threshold(least: float | Array) -> Curator:
    """Keeps the points whose reward is at least `least`, by weight; shapes stay fixed."""
    return Partial(_threshold, least)


def everything() -> Curator:
    """Keeps the whole pool, evenly: retraining without curation."""
    return lift(_everything)


def _k_way(size: Static, choice: Choice, key: PRNGKey, pool: Array, reward: Array) -> Dataset:
    k, n = size.value, pool.shape[0]
    if n % k:
        raise ValueError(f"a pool of {n} does not split into groups of {k}: take a multiple of {k}")
    choice_key, gumbel_key = jax.random.split(key)
    groups, rewards = (a.reshape(n // k, k, *a.shape[1:]) for a in (pool, reward))
    logits = jax.vmap(choice)(jax.random.split(choice_key, n // k), groups, rewards)
    if logits.shape != (n // k, k):
        raise ValueError(
            f"a choice among {k} returned logits of shape {logits.shape[1:]}: return one number a candidate"
        )
    chosen = jnp.argmax(logits + jax.random.gumbel(gumbel_key, logits.shape, logits.dtype), axis=-1)
    return data.uniform(pool[jnp.arange(0, n, k) + chosen])


def _luce(temperature, key, x, reward):
    del key, x
    return _log_preference(reward, temperature)


def _rounds(num: Static, curate: Curator, key: PRNGKey, pool: Array, reward: Array) -> Dataset:
    def one(key):
        shuffle_key, curate_key = jax.random.split(key)
        order = jax.random.permutation(shuffle_key, pool.shape[0])
        return curate(curate_key, pool[order], reward[order])

    each = jax.lax.map(one, jax.random.split(key, num.value))
    return Dataset(each.x.reshape(-1, *pool.shape[1:]), each.weight.reshape(-1) / num.value)


def _tilt(temperature, key, pool, reward):
    del key
    return Dataset(pool, jax.nn.softmax(_log_preference(_single(reward), temperature)))


def _top_fraction(share, key, pool, reward):
    del key
    n = pool.shape[0]
    best_first, order = jax.lax.sort((-_single(reward), jnp.arange(n)), num_keys=1)
    quota = share * n  # in points, not whole
    edge = best_first[jnp.ceil(quota).astype(int) - 1]
    # Compared among what was sorted: XLA may compute `reward` a second time, rounded otherwise, and ties would break.
    above, tied = (best_first < edge), (best_first == edge)
    kept = above + tied * (quota - above.sum()) / tied.sum()
    return Dataset(pool, jnp.zeros_like(kept).at[order].set(kept / quota))


def _threshold(least, key, pool, reward):
    del key
    kept = (_single(reward) >= least).astype(reward.dtype)
    total = kept.sum()
    return Dataset(pool, jnp.where(total > 0, kept / total, jnp.nan))  # nobody kept: seen in effective_size


def _everything(key, pool, reward):
    del key, reward
    return data.uniform(pool)


def _log_preference(reward: Array, temperature: Array | float) -> Array:
    """`reward / temperature`, shifted; its limit at zero is even among the best and nothing elsewhere."""
    gap = _single(reward) - reward.max()
    safe = jnp.where(temperature == 0, 1.0, temperature)
    return jnp.where(temperature == 0, jnp.where(gap == 0, 0.0, -jnp.inf), gap / safe)


def _single(reward: Array) -> Array:
    if reward.ndim != 1:
        raise ValueError(
            f"this choice takes one reward a point, not the shape {reward.shape}: combine the annotators first"
        )
    return reward
