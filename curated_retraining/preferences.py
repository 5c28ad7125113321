"""Preferences: rewards that change with the loop.

Each is a `Preference`, for `retraining(reward=...)` and `start(reward=...)` alike. What they take besides functions and
sizes is data: it may be traced and vmapped, and new numbers of the same shapes cause no retrace.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from curated_retraining.curation.groups import choose
from curated_retraining.data import uniform
from curated_retraining.loop import constant
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

__all__ = ["co_evolving", "constant", "drifting", "learned"]


def co_evolving(features: Callable[[Array], Array], weight: Array, beta: float | Array = 0.1) -> Preference:
    """r(x) = ⟨w, φ(x)⟩ by people who come to like what they see: w' = Proj_{‖w‖ ≤ 1}((1 − β) w + β E[φ]).

    The mean is over the points that the generation kept, p' of the pure loop (Wei, Xie, Zhu, Zhang). The state is w
    `[d]`. Since ‖w‖ ≤ 1, how strongly people feel is the choice's temperature or the features' scale.

    Args:
        features: φ, `[n, *event] -> [n, d]`.
        weight: the first w, `[d]`, of norm at most 1.
        beta: β in [0, 1]: how far w moves in a generation; at 0 it stays.
    """
    require("beta", beta, lambda b: (b >= 0) & (b <= 1), "is not a rate: take a number in [0, 1]")
    weight = jnp.asarray(weight, float)
    require("weight", weight, lambda w: (w**2).sum() <= 1 + 1e-5, "is longer than 1: divide it by its norm")
    features = lift(features)
    return Preference(Partial(_given, weight), Partial(_linear, features), Partial(_follow, features, beta))


def drifting(build: Callable[[Any], Reward], path: Callable[[Array], Any]) -> Preference:
    """The reward `build(path(generation))`: people whose taste moves by itself, whatever they are shown.

    The state is the generation, `[]` int32, counted from 0.

    Args:
        build: parameters -> `Reward`, such as `rewards.distance`.
        path: generation -> parameters, any pytree of arrays.
    """
    return Preference(lift(_zero), Partial(_on_path, lift(build), lift(path)), lift(_count))


def learned(
    network: nn.Module,
    true_reward: Reward,
    annotators: Choice,
    examples: Array,
    *,
    k: int = 2,
    comparisons: int = 4096,
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
    generation t, which starts from the last parameters. The state is `Trained`; the proxy reads its average. If a
    choice cannot be decided the proxy becomes NaN, which the driver refuses.

    Args:
        network: `[n, *event] -> [n, 1]`, such as `MLP(out=1)`.
        true_reward: what the annotators feel, `[n]` or `[n, annotators]`.
        annotators: how they choose by it.
        examples: points `[m, *event]` of the first comparisons: the real data.
        k: points in a group.
        comparisons: choices a generation.
        training: what `trained` takes: `steps`, `batch_size` (in groups), `learning_rate`, `ema`, ...
    """
    if k < 2 or comparisons < 1:
        raise ValueError(f"k={k}, comparisons={comparisons}: choices need groups of 2 or more, and 1 or more of them")
    if jnp.ndim(examples) < 1 or not examples.shape[0]:
        raise ValueError("learned needs at least one of examples: give the real data")
    trained(lambda key, x: (), lambda key, params, x: jnp.zeros(()), **training)  # its mistakes are told here
    size = Static(_Size(network, k, comparisons, tuple(sorted(training.items()))))
    refit = Partial(_refit, size, lift(true_reward), lift(annotators))
    return Preference(Partial(_first, refit, examples), Partial(_proxy, size, examples), Partial(_again, refit))


class _Size(NamedTuple):
    """What belongs to the program of `learned`."""

    network: nn.Module
    k: int
    comparisons: int
    training: tuple[tuple[str, Any], ...]


def _given(weight, key):
    del key
    return weight


def _linear(features, weight, x):
    return features(x) @ weight


def _follow(features, beta, key, weight, record: Generation):
    del key
    seen = record.curated.weight @ features(record.curated.x)
    moved = (1 - beta) * weight + beta * seen
    return moved / jnp.maximum(1.0, jnp.sqrt(jnp.sum(moved**2)))


def _zero(key):
    del key
    return jnp.zeros((), jnp.int32)


def _on_path(build, path, generation, x):
    return build(path(generation))(x)


def _count(key, generation, record):
    del key, record
    return generation + 1


def _first(refit: Callable, examples: Array, key: PRNGKey) -> Trained:
    return refit(key, None, examples)


def _again(refit: Callable, key: PRNGKey, state: Trained, record: Generation) -> Trained:
    return refit(key, state, record.pool)


def _refit(size: Static, true_reward: Reward, annotators: Choice, key: PRNGKey, state: Trained | None, pool: Array):
    """From the last state, or from none, to one fitted to new choices among the pool `[n, *event]`."""
    group_key, choice_key, init_key, fit_key = jax.random.split(key, 4)
    _, k, comparisons, _ = size.value
    rows = jax.random.randint(group_key, (comparisons, k), 0, pool.shape[0])
    chosen, decided = choose(choice_key, annotators, pool[rows], true_reward(pool)[rows])
    trainer = _trainer(size.value, pool, decided)
    choices = Dataset(cast(Any, (rows, chosen)), uniform(rows).weight)
    return trainer.fit(fit_key, trainer.init(init_key, choices.x) if state is None else state, choices)


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


def _proxy(size: Static, examples: Array, state: Trained, x: Array) -> Array:
    score = Partial(_score, size.value.network, state.average)
    return score(x) - score(examples).mean()


def _score(network: nn.Module, params: State, x: Array) -> Array:
    score = jnp.asarray(network.apply(params, x))
    if score.shape != (x.shape[0], 1):
        raise ValueError(f"the network returned the shape {score.shape} for {x.shape[0]} points: let it return [n, 1]")
    return score[:, 0]
