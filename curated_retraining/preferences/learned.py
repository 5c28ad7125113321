"""A reward learnt from choices: the proxy that curation reads in place of what people feel."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from curated_retraining.curation.groups import choose
from curated_retraining.data import uniform
from curated_retraining.models.trained import Trained, Trainer, trained
from curated_retraining.types import (
    Array,
    Choice,
    Dataset,
    Generation,
    Preference,
    PRNGKey,
    Reward,
    State,
    Static,
    lift,
    require,
)


def learned(
    network: nn.Module,
    true_reward: Reward,
    annotators: Choice,
    examples: Array,
    *,
    k: int = 2,
    comparisons: int = 4096,
    members: int = 1,
    pessimism: float | Array = 0.0,
    **training: Any,
) -> Preference:
    """A reward network refitted in each generation to what annotators chose: the proxy that curation reads.

    Annotators who feel `true_reward` choose one of each of `comparisons` groups of `k` points drawn from the pool; the
    network maximises the likelihood of these choices under softmax(proxy rewards of the group). For `k` = 2 and
    `luce(temperature)` that is the Bradley-Terry fit of Christiano et al. (2017, arXiv 1706.03741), and the proxy
    estimates true_reward / temperature. Choices leave a constant open: the proxy's mean over `examples` is zero.
    Annotators may be a `crowd` over stacked rewards, some of them adversaries (Wei, Zhang, arXiv 2505.09768), or
    `pairwise`. Metrics given `true_reward` too can report both.

    Generation 0 is curated by a fit to choices among `examples`, generation t + 1 by a fit to choices among the pool of
    generation t, which starts from the last parameters. If a choice cannot be decided the proxy becomes NaN, which the
    driver refuses.

    An ensemble is `members` networks that differ in their first parameters and their batches, not in the choices. The
    proxy is their mean less `pessimism` times their standard deviation (over the members): a lower bound that falls
    where choices do not settle the reward (Coste et al. 2023, arXiv 2310.02743). The state is `Trained`, with a leading
    axis of members; the proxy reads its average.

    Args:
        network: `[n, *event] -> [n, 1]`, such as `MLP(out=1)`.
        true_reward: what the annotators feel, `[n]` or `[n, annotators]`.
        annotators: how they choose by it.
        examples: points `[m, *event]` of the first comparisons: the real data.
        k: points in a group.
        comparisons: choices a generation.
        members: networks, fitted one after another.
        pessimism: standard deviations below the mean, data; above 0 it takes 2 members or more.
        training: what `trained` takes: `steps`, `batch_size` (in groups), `learning_rate`, `ema`, ...
    """
    if k < 2 or comparisons < 1:
        raise ValueError(f"k={k}, comparisons={comparisons}: choices need groups of 2 or more, and 1 or more of them")
    if members < 1:
        raise ValueError(f"members={members} fit nothing: take 1 or more")
    require("pessimism", pessimism, lambda c: c >= 0, "is no number of standard deviations: take one of at least 0")
    require("pessimism", pessimism, lambda c: (c == 0) | (members > 1), "needs a spread: take members=2 or more")
    if jnp.ndim(examples) < 1 or not examples.shape[0]:
        raise ValueError("learned needs at least one of examples: give the real data")
    trained(lambda key, x: (), lambda key, params, x: jnp.zeros(()), **training)  # its mistakes are told here
    size = Static(_Size(network, k, comparisons, members, tuple(sorted(training.items()))))
    refit = Partial(_refit, size, lift(true_reward), lift(annotators))
    proxy = Partial(_proxy, size, examples, pessimism)
    return Preference(Partial(_first, refit, examples), proxy, Partial(_again, refit))


def collect(
    key: PRNGKey, pool: Array, true_reward: Reward, annotators: Choice, *, k: int, comparisons: int
) -> tuple[Array, Array, Array]:
    """Groups of rows of the pool `[comparisons, k]`, whom annotators chose of each `[comparisons]`, and if they can."""
    group_key, choice_key = jax.random.split(key)
    rows = jax.random.randint(group_key, (comparisons, k), 0, pool.shape[0])
    return rows, *choose(choice_key, annotators, pool[rows], true_reward(pool)[rows])


class _Size(NamedTuple):
    """What belongs to the program of `learned`."""

    network: nn.Module
    k: int
    comparisons: int
    members: int
    training: tuple[tuple[str, Any], ...]


def _first(refit: Callable, examples: Array, key: PRNGKey) -> Trained:
    return refit(key, None, examples)


def _again(refit: Callable, key: PRNGKey, state: Trained, record: Generation) -> Trained:
    return refit(key, state, record.pool)


def _refit(size: Static, true_reward: Reward, annotators: Choice, key: PRNGKey, state: Trained | None, pool: Array):
    """From the last state of each member, or from none, to those fitted to new choices among the pool `[n, *event]`."""
    choices_key, members_key = jax.random.split(key)
    _, k, comparisons, members, _ = size.value
    rows, chosen, decided = collect(choices_key, pool, true_reward, annotators, k=k, comparisons=comparisons)
    trainer = _trainer(size.value, pool, decided)
    choices = Dataset(cast(Any, (rows, chosen)), uniform(rows).weight)

    def member(key_and_state):
        key, state = key_and_state
        init_key, fit_key = jax.random.split(key)
        return trainer.fit(fit_key, trainer.init(init_key, choices.x) if state is None else state, choices)

    return jax.lax.map(member, (jax.random.split(members_key, members), state))


def _trainer(size: _Size, pool: Array, decided: Array) -> Trainer:
    """Trains on rows of the pool `[batch, k]` and which of each was chosen `[batch]`, so that points are not copied."""

    def init_params(key, batch):
        del batch
        return size.network.init(key, pool[:1])

    def loss(key, params, batch):
        del key
        rows, chosen = batch
        rewards = _score(size.network, params, pool[rows.reshape(-1)]).reshape(rows.shape)
        return optax.softmax_cross_entropy_with_integer_labels(rewards, chosen).mean() * jnp.where(decided, 1, jnp.nan)

    return trained(init_params, loss, **dict(size.training))


def _proxy(size: Static, examples: Array, pessimism: float | Array, state: Trained, x: Array) -> Array:
    def member(average):
        score = Partial(_score, size.value.network, average)
        return score(x) - score(examples).mean()

    rewards = jax.lax.map(member, state.average)  # [members, n]
    return rewards.mean(axis=0) - pessimism * rewards.std(axis=0)


def _score(network: nn.Module, params: State, x: Array) -> Array:
    score = jnp.asarray(network.apply(params, x))
    if score.shape != (x.shape[0], 1):
        raise ValueError(f"the network returned the shape {score.shape} for {x.shape[0]} points: let it return [n, 1]")
    return score[:, 0]
