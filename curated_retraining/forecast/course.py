"""The course of a curated loop, predicted from samples."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from curated_retraining.forecast.problem import Fixed, Problem, course, entropy, limit, pose, shares
from curated_retraining.types import Array


class Forecast(NamedTuple):
    """The predicted course of a curated loop; generation 0 is the model that the samples are of."""

    reward_mean: Array  # [generations + 1], E[r]
    exp_reward_mean: Array  # [generations + 1], E[e^r]
    share: Array  # [generations + 1, classes]
    entropy: Array  # [generations + 1], of the class shares, nats
    effective_classes: Array  # [generations + 1], e^entropy: so many even classes have that entropy
    kl: Array  # [generations + 1], KL(p_t ‖ p_ref), nats; where real samples are given that of the class shares
    half_life: Array  # [classes], generations until half the first share is left; inf where it never is
    winner: Array  # [], the class with the largest share in the limit; −1 where that is NaN
    limit_share: Array  # [classes]; NaN where the limit is not found in `theory.mixed_limit`'s steps
    limit_reward_mean: Array  # []


def forecast(
    reward: Array,
    label: Array | None = None,
    *,
    k: Array | float,
    lam: Array | float,
    generations: int,
    temperature: Array | float = 1.0,
    real_reward: Array | None = None,
    real_label: Array | None = None,
    classes: int | None = None,
    reward_range: float | None = None,
) -> Forecast:
    """The course of `generations` curated retrainings that begin with a model of which these are samples.

    Args:
        reward: of samples of the model, `[n]`.
        label: their classes, integers `[n]` in 0..classes−1; one class by default.
        k: K, the size of the groups that an annotator chooses one sample from: any real ≥ 1, or inf.
        lam: λ = #curated / #real; inf is the pure loop.
        generations: how far to look.
        temperature: τ of the choice; 0 is best-of-K.
        real_reward: of samples of the real data, `[m]`, which may be others than the model's; by default the real data
            are distributed like the model's samples.
        real_label: their classes, `[m]`.
        classes: their number; one more than the largest label by default, which must then be known.
        reward_range: static bound on (max r − min r) / τ, as in `theory.trajectory`; by default a little over what it
            is, or 100 where that is traced.

    It vmaps over everything but the sizes, and is differentiable in rewards and λ. E[e^r] overflows float32 for rewards
    above 88. Its samples are all it knows: a class of which there are none will never come.

    Raises:
        ValueError: where lengths do not agree, there are no samples, a number is not finite, a label is not a class,
            λ, K, the temperature or `generations` are out of range, or rewards span more than 65,536 τ and no
            `reward_range` is given.
    """
    return predicted(
        *pose(
            reward,
            label,
            k=k,
            lam=lam,
            generations=generations,
            temperature=temperature,
            real_reward=real_reward,
            real_label=real_label,
            classes=classes,
            reward_range=reward_range,
        )
    )


@partial(jax.jit, static_argnums=0)
def predicted(fixed: Fixed, problem: Problem) -> Forecast:
    """The forecast of a loop that has been looked at."""
    share_of = partial(shares, fixed, problem)
    share_ref = share_of(problem.p_ref)

    def observe(p):
        share = share_of(p)
        kl = _kl(p, problem.p_ref) if fixed.alone else _kl(share, share_ref)
        return p @ problem.reward, p @ jnp.exp(problem.reward), share, kl

    reward_mean, exp_reward_mean, share, kl = course(fixed, problem, observe)
    end, spread = limit(fixed, problem), jax.vmap(entropy)(share)
    limit_share = share_of(end)
    return Forecast(
        reward_mean=reward_mean,
        exp_reward_mean=exp_reward_mean,
        share=share,
        entropy=spread,
        effective_classes=jnp.exp(spread),
        kl=kl,
        half_life=jax.vmap(_half_life, in_axes=1)(share),
        winner=jnp.where(jnp.isnan(limit_share).any(), -1, jnp.argmax(limit_share)),
        limit_share=limit_share,
        limit_reward_mean=end @ problem.reward,
    )


def _kl(p: Array, q: Array) -> Array:
    ratio = jnp.where(p > 0, p, 1.0) / jnp.where(p > 0, q, 1.0)  # finite where there is no mass: derivatives too
    return jnp.sum(jnp.where(p > 0, p * jnp.log(ratio), 0.0))


def _half_life(share: Array) -> Array:
    """When `share` `[t]` first falls to half of its start, between generations by its logarithm; inf if it does not."""
    left = jnp.log2(jnp.where(share > 0, share, jnp.finfo(share.dtype).tiny) / share[0])
    below = left <= -1
    after = jnp.argmax(below)
    before = jnp.maximum(after - 1, 0)
    fall = jnp.where(below.any(), left[before] - left[after], 1.0)
    return jnp.where(below.any(), before + (left[before] + 1) / fall, jnp.inf)
