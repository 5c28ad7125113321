"""Policies: a model with a density around one of its states, seen from parameters that gradients move freely."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.models.finite import at_nearest, finite
from curated_retraining.types import Array, Model, PRNGKey, State


class Policy(NamedTuple):
    """A density by its parameters; where they start is the reference of KL regularisers, p_ref."""

    start: State  # the parameters of the reference
    state: Callable[[State], State]  # parameters -> state of the model
    sample: Callable[[PRNGKey, State, int], Array]  # key, parameters, n -> [n, *event]
    log_prob: Callable[[State, Array], Array]  # parameters, x [n, *event] -> [n]; differentiable


Family = Callable[[State], Policy]  # a state of a model -> the policy that starts there


def network(model: Model) -> Family:
    """The policies of a model whose state is `Trained`, such as `flow`; they start from the average of a state.

    Raises:
        ValueError: where the model has no density.
    """
    density = model.log_prob
    if density is None:
        raise ValueError("this model has no log_prob, which preference optimisation follows: take one that has")

    def at(reference):
        def state(params):
            return reference._replace(params=params, average=params)

        def sample(key, params, num):
            return model.sample(key, state(params), num)

        def log_prob(params, x):
            return density(state(params), x)

        return Policy(reference.average, state, sample, log_prob)

    return at


def softmax(support: Array) -> Family:
    """The policies of `finite(support)` by their logits `[s]`; all probabilities of a reference must be above zero."""
    model = finite(support)

    def sample(key, logits, num):
        return model.sample(key, jax.nn.softmax(logits), num)

    def log_prob(logits, x):
        return at_nearest(support, jax.nn.log_softmax(logits), x)

    return lambda reference: Policy(jnp.log(reference), jax.nn.softmax, sample, log_prob)
