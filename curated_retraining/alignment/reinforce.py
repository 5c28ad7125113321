"""KL-regularised policy gradient."""

from typing import Any

import jax
import jax.numpy as jnp

from curated_retraining.alignment.policy import Family
from curated_retraining.models.trained import trained
from curated_retraining.types import Array, Dataset, Model, Reward, require


def reinforce(
    model: Model, family: Family, reward: Reward, *, beta: float | Array, samples: int = 256, **training: Any
) -> Model:
    """`model` refitted by ascent of E_p[r] − β KL(p ‖ p_ref) along the score of its own samples (Williams 1992).

    The gradient is E[(A − b) ∇ log p], A = r − β log p/p_ref, with the mean A of the other samples for the baseline b,
    which leaves it unbiased (Kool et al. 2019); at the optimum A is constant and the noise gone. p_ref is the state
    that the refit starts from. `theory.policy_gradient` is the exact course in logits. The training data are not
    read: each step draws its own.

    Args:
        model: what draws and measures.
        family: its policies: `network(model)` or `softmax(support)`.
        reward: `[n, *event] -> [n]`.
        beta: β ≥ 0; may be traced.
        samples: draws a step, 2 or more.
        training: what `trained` takes but `batch_size`: `steps`, `learning_rate`, ...
    """
    require("beta", beta, lambda b: b >= 0, "is not a temperature of the regulariser: take a number of at least 0")
    if samples < 2:
        raise ValueError(f"samples={samples} leaves no other for a baseline: take 2 or more")

    def fit(key, state, data):
        del data
        policy = family(state)

        def loss(key, params, x):
            del x
            drawn = jax.lax.stop_gradient(policy.sample(key, params, samples))
            log_p = policy.log_prob(params, drawn)
            advantage = reward(drawn) - beta * (jax.lax.stop_gradient(log_p) - policy.log_prob(policy.start, drawn))
            centred = (advantage - advantage.mean()) * (samples / (samples - 1))  # minus the mean of the others
            return -jnp.mean(centred * log_p)

        init_key, fit_key = jax.random.split(key)
        nothing = Dataset(jnp.zeros((1, 0)), jnp.ones(1))
        trainer = trained(lambda key, x: policy.start, loss, batch_size=1, **training)
        return policy.state(trainer.fit(fit_key, trainer.init(init_key, nothing.x), nothing).average)

    return model._replace(fit=fit)
