"""Attacks on the comparisons that a reward is learnt from, and the small fit that they go through.

A comparison of x and y has the label 1 where x is preferred and else 0; an attacker flips the labels of a few. All of
these are pure and may be traced and vmapped; numbers of flips are data.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from curated_retraining.types import Array, PRNGKey, floating, require


def flip(label: Array, chosen: Array) -> Array:
    """Labels `[m]` in [0, 1], turned round by as much as they are `chosen`, `[m]` in [0, 1]."""
    return label * (1 - chosen) + (1 - label) * chosen  # of unsigned integers neither is below zero


def random_flips(key: PRNGKey, num: int, budget: Array | int) -> Array:
    """`budget` of `num` comparisons, drawn without replacement: 1 where flipped, else 0, `[num]`."""
    return _largest(jax.random.uniform(key, (num,)), budget)


def worst_flips(outcome: Callable[[Array], Array], label: Array, budget: Array | int, *, steps: int = 16) -> Array:
    """At most `budget` comparisons whose flips lower `outcome` most, by its gradient: 1 where flipped, else 0, `[m]`.

    `outcome` is what the attacker wants low, a function of relaxed labels `[m]` in [0, 1] that is differentiated, such
    as the true reward after curation by a reward fitted to them. Frank-Wolfe over flips in [0, 1] that sum to `budget`
    or less: each of the `steps` moves towards those that its linearisation finds worst; the largest then are flipped
    whole. One step takes the worst at the honest labels. Where the gradient is NaN, so is what comes back.

    Raises:
        ValueError: where `steps` < 1.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} finds no flips: take 1 or more")

    def step(chosen, index):
        slope = jax.grad(lambda chosen: outcome(flip(label, chosen)))(chosen)
        return chosen + 2 / (index + 2) * (_largest(-slope, budget) * _positive(-slope) - chosen), None

    chosen = jnp.zeros_like(floating(label))
    chosen, _ = jax.lax.scan(step, chosen, jnp.arange(steps, dtype=chosen.dtype))
    return _largest(chosen, budget) * _positive(chosen)


def bradley_terry(difference: Array, label: Array, *, ridge: float | Array = 1e-3, steps: int = 20) -> Array:
    """w `[d]` of the reward ⟨w, φ⟩ that fits comparisons best, differentiable in the labels.

    The maximum of the mean log-likelihood of P(x preferred to y) = σ(⟨w, φ(x) − φ(y)⟩) less ridge ‖w‖² / 2, by Newton's
    steps. The last alone carries derivatives, which at a maximum are those of the implicit function theorem.

    Args:
        difference: φ(x) − φ(y) of each comparison, `[m, d]`.
        label: `[m]`; between 0 and 1 for those split over both outcomes.
        ridge: positive.
    """
    require("ridge", ridge, lambda r: r > 0, "leaves the reward open: take a positive number")

    def newton(weight, label):
        first = jax.nn.sigmoid(difference @ weight)
        slope = difference.T @ (first - label) / len(label) + ridge * weight
        curvature = difference.T @ ((first * (1 - first))[:, None] * difference) / len(label)
        return weight - jnp.linalg.solve(curvature + ridge * jnp.eye(len(weight)), slope)

    honest = jax.lax.stop_gradient(label)
    start = jnp.zeros(difference.shape[1], difference.dtype)
    return newton(jax.lax.fori_loop(0, steps, lambda _, weight: newton(weight, honest), start), label)


def _largest(score: Array, budget: Array | int) -> Array:
    """1 at the `budget` largest scores, else 0."""
    order = jnp.argsort(-score)
    return jnp.zeros_like(score).at[order].set((jnp.arange(score.shape[0]) < budget).astype(score.dtype))


def _positive(values: Array) -> Array:
    """1 where positive, else 0, and NaN where NaN."""
    return jnp.maximum(jnp.sign(values), 0)  # heaviside takes NaN for 0 in some versions of JAX
