"""The loop: one generation as a pure function, and its scan."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

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
    Static,
    Step,
    lift,
    lift_all,
    require_weights,
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
        ValueError: when traced, where a reward returns another shape than `[n]` or `[n, annotators]`, or a function
            asks for the values of what is being traced, as `if` does; either names the function.
    """
    if pool_size < 1:
        raise ValueError(f"pool_size={pool_size} is not a number of samples: take 1 or more")
    preference = reward if isinstance(reward, Preference) else constant(reward)
    update = _named("preference's update", preference.update)
    return Partial(
        _generation,
        lift_all(model._replace(sample=_named("sampler", model.sample), fit=_named("fit", model.fit))),
        lift_all(preference._replace(reward=_named("reward", preference.reward), update=update)),
        _named("curator", curate),
        lift_all(mixing._replace(mix=_named("mixing", mixing.mix))),
        Static(pool_size),
        _named("metrics", metrics),
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
        ValueError: where weights of the real data are negative or NaN or do not sum to one.
    """
    require_weights(real)
    init_key, fit_key, preference_key = jax.random.split(key, 3)
    preference = reward.init(preference_key) if isinstance(reward, Preference) else ()
    fitted = model.fit(fit_key, model.init(init_key, real.x), real)
    return LoopState(jnp.zeros((), jnp.int32), fitted, mixing.init(real, slot), preference)


def run(key: PRNGKey, state: LoopState, step: Step, num: int) -> tuple[LoopState, dict[str, Array]]:
    """`num` generations from `state` in one scan: the state after them, and the reports stacked to `[num, ...]`.

    Two runs that follow one another give the bits of one run over their sum.
    """
    return jax.lax.scan(lambda state, _: step(key, state), state, length=num)


def constant(reward: Reward) -> Preference:
    """The `Preference` of a reward that stays as it is, without a state."""
    return Preference(lift(_nothing), Partial(_fixed_reward, lift(reward)), lift(_unchanged))


def checked(name: Any, reward: Any, pool: Array) -> Array:
    """The `reward` of a pool `[n, *event]` where it has a number a point, or one column an annotator."""
    n = pool.shape[0]
    shape = cast(tuple[int, ...], getattr(reward, "shape", ()))  # a list or None is no array
    if len(shape) not in (1, 2) or shape[0] != n:
        raise ValueError(
            f"the reward {_name(name)} returned the shape {shape} for {n} points: "
            f"return one number a point, [{n}], or one column an annotator, [{n}, annotators]"
        )
    return reward


def _generation(model, preference, curate, mixing, pool_size, metrics, key, state: LoopState):
    generation_key = jax.random.fold_in(key, state.generation)
    sample_key, curate_key, mix_key, fit_key, preference_key = jax.random.split(generation_key, 5)

    pool = model.sample(sample_key, state.model, pool_size.value)
    reward = checked(preference.reward, preference.reward(state.preference, pool), pool)
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


def _named(part: str, function: Callable) -> Partial:
    """`function`, whose questions about traced values become an error that names it."""
    return Partial(_traced, Static(part), lift(function))


def _traced(part: Static, function, *args):
    try:
        return function(*args)
    except _ASKED as error:
        raise ValueError(
            f"the {part.value} {_name(function)} asks for values while it is traced: take jnp.where for `if` and "
            f"jnp for np ({str(error).splitlines()[0]})"
        ) from error


_ASKED = (
    jax.errors.ConcretizationTypeError,  # `if`, `while`, float()
    jax.errors.TracerArrayConversionError,  # np
    jax.errors.TracerIntegerConversionError,  # an index of a list
    jax.errors.NonConcreteBooleanIndexError,  # x[x > 0]
)


def _name(function: Any) -> str:
    while isinstance(function, Partial):
        inner = [value for value in function.args if callable(value)]
        function = inner[0] if inner else function.func
    return getattr(function, "__name__", repr(function))
