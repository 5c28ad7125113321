"""Several models at once: each is retrained on shares of real data and of what all of them made."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from curated_retraining import guards
from curated_retraining.data import uniform, union
from curated_retraining.loop import constant
from curated_retraining.types import (
    SLACK,
    Array,
    Curator,
    Dataset,
    Generation,
    LoopState,
    Metrics,
    Model,
    Preference,
    PRNGKey,
    Reward,
    Static,
    Step,
    lift_all,
    require,
)


def interacting(
    models: Sequence[Model],
    *,
    reward: Sequence[Reward | Preference],
    curate: Sequence[Curator],
    pool_size: Sequence[int],
    shares: ArrayLike,
    metrics: Sequence[Metrics] | None = None,
) -> Step:
    """One generation of n models, `(key, state) -> (state, report)`: all sample and are curated, then all refit.

    Model i trains on S_i0 real_i + Σ_j S_i,1+j pool_j + S_i,1+n+j curated_j (Wei, Zhang, Zhang 2026, arXiv 2605.29267).
    The state is a `LoopState` whose members are tuples, one entry a model, so that `run` plays it. The report has the
    metrics of model i as `NAME_i`, and always `effective_size_i`; a record holds what concerns its model alone.

    The generation's key is `fold_in(key, generation)`, split by model and then as in `retraining`: one model with
    shares (1 − η, 0, η) has the keys, pools and choices of `retraining` with `with_real(λ)`, η = λ / (1 + λ), and
    trains on the same weighted points and, with weight zero, on its raw pool. What is equal is the law, and the bits
    as far as a fit reads rows of weight zero as nothing and adds in the same order.

    Args:
        models: n of them, of one event shape; every other sequence has an entry a model.
        reward: what the people feel who curate the samples of each.
        shares: S `[n, 1 + 2 n]`, data: it may be vmapped, and traced, when nobody looks whether rows sum to one. The
            columns are the real data, then the raw samples of each model, then the curated samples of each.
        metrics: what is reported of each; nothing by default.

    Raises:
        ValueError: where a sequence has not one entry a model, or `shares` another shape, negative numbers or a row
            that does not sum to one; and as `retraining`.
    """
    n = len(models)
    metrics = [lambda record: {}] * n if metrics is None else metrics
    for name, values in {"reward": reward, "curate": curate, "pool_size": pool_size, "metrics": metrics}.items():
        if len(values) != n or not n:
            raise ValueError(f"{n} models with {len(values)} entries of {name}: give one a model, and 1 or more models")
    shares = jnp.asarray(shares, float)
    if shares.shape != (n, 1 + 2 * n):
        raise ValueError(
            f"shares of shape {shares.shape} for {n} models: give [{n}, {1 + 2 * n}], a row a model, with the columns "
            "real, raw of each, curated of each"
        )
    require("shares", shares, lambda s: s >= 0, "are not shares: take numbers of at least 0")
    require("shares", shares, lambda s: abs(s.sum(axis=1) - 1) < SLACK, "do not sum to 1 in each row: divide by sums")
    parties = map(_party, models, map(_preference, reward), curate, pool_size, metrics)
    return Partial(_generation, tuple(parties), shares)


def start_interacting(
    key: PRNGKey, models: Sequence[Model], real: Sequence[Dataset], *, reward: Sequence[Reward | Preference]
) -> LoopState:
    """Generation 0: each model fitted to its own real data alone.

    Raises:
        ValueError: as `start`, of any of the real data and models.
    """
    model, preference = [], []
    for each_key, each, data, judged in zip(jax.random.split(key, len(models)), models, real, reward, strict=True):
        data = guards.real(data)
        init_key, fit_key, preference_key = jax.random.split(each_key, 3)
        each = guards.begun(each, init="model's init", fit="fit")
        model.append(each.fit(fit_key, each.init(init_key, data.x), data))
        preference.append(guards.begun(_preference(judged), init="preference's init").init(preference_key))
    return LoopState(jnp.zeros((), jnp.int32), tuple(model), tuple(real), tuple(preference))


class _Party(NamedTuple):
    """A model and those who curate it."""

    model: Model
    preference: Preference
    curate: Curator
    pool_size: Static
    metrics: Metrics


def _party(model: Model, preference: Preference, curate: Curator, pool_size: int, metrics: Metrics) -> _Party:
    return _Party(
        guards.model(model),
        guards.preference(preference),
        guards.curator(curate, preference),
        guards.pool_size(pool_size),
        guards.metrics(metrics),
    )


def _preference(reward: Reward | Preference) -> Preference:
    return lift_all(reward if isinstance(reward, Preference) else constant(reward))


def _generation(parties: tuple[_Party, ...], shares: Array, key: PRNGKey, state: LoopState):
    n = len(parties)
    generation_key = jax.random.fold_in(key, state.generation)
    keys = [*jax.random.split(generation_key, 5 * n)]  # five a model, as `retraining` splits, which mixes by the third
    sample_keys, curate_keys, _, fit_keys, preference_keys = (keys[part::5] for part in range(5))

    pools = [parties[i].model.sample(sample_keys[i], state.model[i], parties[i].pool_size.value) for i in range(n)]
    rewards = [parties[i].preference.reward(state.preference[i], pools[i]) for i in range(n)]
    curated = [parties[i].curate(curate_keys[i], pools[i], rewards[i]) for i in range(n)]
    made = [*map(uniform, pools), *curated]
    trains = [union([state.memory[i], *made], list(shares[i])) for i in range(n)]
    fitted = [parties[i].model.fit(fit_keys[i], state.model[i], trains[i]) for i in range(n)]

    report, following = {}, []
    for i, party in enumerate(parties):
        record = Generation(state.model[i], pools[i], rewards[i], curated[i], trains[i])
        found = party.metrics(record) | {"effective_size": 1 / jnp.sum(trains[i].weight ** 2)}
        report |= {f"{name}_{i}": value for name, value in found.items()}
        following.append(party.preference.update(preference_keys[i], state.preference[i], record))
    return LoopState(state.generation + 1, tuple(fitted), state.memory, tuple(following)), report
