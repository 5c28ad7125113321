"""The loop: one generation as a pure function, and its scan."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining import guards
from curated_retraining.types import (
    Array,
    Curator,
    Dataset,
    Generation,
    LoopState,
    Metrics,
    Mixing,
    Model,
    Preference,
    PRNGKey,
    Reward,
    State,
    Step,
    lift,
)


def retraining(
    model: Model,
    *,
    reward: Reward | Preference,
    curate: Curator,
    mixing: Mixing,
    pool_size: int,
    metrics: Metrics = lambda record: {},
) -> Step:
    """One generation of curated retraining, `(key, state) -> (state, report)`: sample, reward, curate, mix, refit.

    The step is a pytree (`jax.tree_util.Partial`): what its parts hold in `Partial`s are inputs of the program that
    uses it, so new rewards, λ or temperatures of the same shapes cause no retrace. Pass it through `jax.jit` as an
    argument. The generation's key is `fold_in(key, generation)`.

    The report holds `metrics(record)` and always `effective_size`, 1 / Σ w² of the training weights, in points. It
    describes the model that drew the pool: the first is of generation 0, before any retraining.

    Raises:
        ValueError: where `pool_size` is not a whole number of at least 1; and when traced, where a function raises any
            error, asks for the values of what is being traced, as `if` does, or returns what the loop cannot go on
            with, such as a pool of another size, a reward of another shape than `[n]` or `[n, annotators]`, or another
            state than it was given. The error names the function.
    """
    preference = reward if isinstance(reward, Preference) else constant(reward)
    return Partial(
        _generation,
        guards.model(model),
        guards.preference(preference),
        guards.curator(curate, preference),
        guards.mixing(mixing),
        guards.pool_size(pool_size),
        guards.metrics(metrics),
    )


def self_judged(model: Model, score: Callable[[State, Array], Array], **parts: Any) -> Step:
    """`retraining` in which the model that drew a pool judges it: the reward is `score(model's state, x)`.

    For likelihood `score` is `model.log_prob`; for a model without density it may be the negative of `denoising_loss`
    (`models.ddpm`). It may return a column an annotator, `[n, annotators]`, of which only one is the model's. `parts`
    are the arguments of `retraining` but the reward; `start` needs no reward.
    """
    judge = Preference(lift(_nothing), lift(score), lift(_unchanged))
    return Partial(_self_judged, retraining(model, reward=judge, **parts))


def start(
    key: PRNGKey, model: Model, mixing: Mixing, real: Dataset, *, slot: int, reward: Reward | Preference | None = None
) -> LoopState:
    """Generation 0: `model` fitted to the real data alone.

    `slot` is the number of curated points that a generation adds (the pool size / K for disjoint groups). `reward` is
    needed only where it is a `Preference` that changes with the loop.

    Raises:
        ValueError: where weights of the real data are negative or NaN or do not sum to one; and as `retraining`.
    """
    real = guards.real(real)
    model = guards.begun(model, init="model's init", fit="fit")
    mixing = guards.begun(mixing, init="mixing's init")
    init_key, fit_key, preference_key = jax.random.split(key, 3)
    preference = ()
    if isinstance(reward, Preference):
        preference = guards.begun(reward, init="preference's init").init(preference_key)
    fitted = model.fit(fit_key, model.init(init_key, real.x), real)
    return LoopState(jnp.zeros((), jnp.int32), fitted, mixing.init(real, slot), preference)


def run(key: PRNGKey, state: LoopState, step: Step, num: int) -> tuple[LoopState, dict[str, Array]]:
    """`num` generations from `state` in one scan: the state after them, and the reports stacked to `[num, ...]`.

    Two runs that follow one another give the bits of one run over their sum.

    Raises:
        ValueError: where `num` is not a whole number of at least 0.
    """
    guards.whole("num", num, 0)
    return jax.lax.scan(lambda state, _: step(key, state), state, length=num)


def constant(reward: Reward) -> Preference:
    """The `Preference` of a reward that stays as it is, without a state."""
    return Preference(lift(_nothing), Partial(_fixed_reward, lift(reward)), lift(_unchanged))


def _generation(model, preference, curate, mixing, pool_size, metrics, key, state: LoopState):
    generation_key = jax.random.fold_in(key, state.generation)
    sample_key, curate_key, mix_key, fit_key, preference_key = jax.random.split(generation_key, 5)

    pool = model.sample(sample_key, state.model, pool_size.value)
    reward = preference.reward(state.preference, pool)
    curated = curate(curate_key, pool, reward)
    train, memory = mixing.mix(mix_key, state.memory, curated)
    fitted = model.fit(fit_key, state.model, train)

    record = Generation(state.model, pool, reward, curated, train)
    report = metrics(record) | {"effective_size": 1 / jnp.sum(train.weight**2)}
    state = LoopState(state.generation + 1, fitted, memory, preference.update(preference_key, state.preference, record))
    return state, report


def _self_judged(step: Step, key: PRNGKey, state: LoopState):
    state, report = step(key, state._replace(preference=state.model))
    return state._replace(preference=()), report


def _nothing(key):
    del key
    return ()


def _fixed_reward(reward, state, x):
    del state
    return reward(x)


def _unchanged(key, state, record):
    del key, record
    return state
