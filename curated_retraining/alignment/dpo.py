"""Direct preference optimisation on the pairs that a curator decided."""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.alignment.policy import Family
from curated_retraining.curation.groups import choose
from curated_retraining.models.trained import trained
from curated_retraining.types import Array, Choice, Curator, Dataset, Model, lift, require


class Pairs(NamedTuple):
    """Pairs of points of which one was preferred."""

    chosen: Array  # [n, *event]
    rejected: Array  # [n, *event]


def pairs(choice: Choice) -> Curator:
    """Decides the pairs that `k_way(2, choice)` decides by the same key and keeps both points: a dataset of `Pairs`.

    A pool of n gives n / 2, evenly weighted; an odd pool is a `ValueError`.
    """
    return Partial(_pairs, lift(choice))


def dpo(model: Model, family: Family, *, beta: float | Array, **training: Any) -> Model:
    """`model` refitted as a classifier of which of a pair was chosen (Rafailov et al. 2023, arXiv 2305.18290, eq. 7).

    −E log σ(β [log p(chosen)/p_ref(chosen) − log p(rejected)/p_ref(rejected)]); p_ref is the state that the refit
    starts from. For infinitely many pairs by Luce's choice at τ the minimum is the maximiser of
    E_p[r] − βτ KL(p ‖ p_ref); `theory.dpo_loss` is the exact loss. The training data are `pairs`.

    Args:
        model: what draws and measures.
        family: its policies: `network(model)` or `softmax(support)`.
        beta: β > 0; may be traced.
        training: what `trained` takes: `steps`, `batch_size` (in pairs), `learning_rate`, ...
    """
    require("beta", beta, lambda b: b > 0, "is not a temperature of the regulariser: take a positive number")

    def fit(key, state, data):
        policy = family(state)

        def margin(params, pairs):
            return policy.log_prob(params, pairs.chosen) - policy.log_prob(params, pairs.rejected)

        def loss(key, params, judged):
            del key
            pairs, of_reference = judged
            return -jax.nn.log_sigmoid(beta * (margin(params, pairs) - of_reference)).mean()

        init_key, fit_key = jax.random.split(key)
        judged = Dataset(cast(Any, (data.x, margin(policy.start, data.x))), data.weight)
        trainer = trained(lambda key, x: policy.start, loss, **training)
        return policy.state(trainer.fit(fit_key, trainer.init(init_key, judged.x), judged).average)

    return model._replace(fit=fit)


def _pairs(choice: Choice, key, pool: Array, reward: Array) -> Dataset:
    if pool.shape[0] % 2:
        raise ValueError(f"a pool of {pool.shape[0]} does not split into pairs: take an even number")
    num = pool.shape[0] // 2
    both, rewards = (a.reshape(num, 2, *a.shape[1:]) for a in (pool, reward))
    chosen, decided = choose(key, choice, both, rewards)
    kept, other = both[jnp.arange(num), chosen], both[jnp.arange(num), 1 - chosen]
    weight = jnp.where(decided, jnp.full(num, 1 / num, float), jnp.nan)
    return Dataset(cast(Any, Pairs(kept, other)), weight)
