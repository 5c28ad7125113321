"""What a forecast begins with: samples that have been looked at, and the exact loop that they define."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from curated_retraining import theory
from curated_retraining.types import Array, floating, require

CHUNK = 8  # loops that are followed at a time: memory grows with it
WIDEST = 2.0**16  # range of rewards / τ: where float32 knows them to 1/256 and tables are 1.6 MB a sample


class Fixed(NamedTuple):
    """What the compiled programs depend on."""

    alone: bool  # the real data are distributed like the model's samples
    classes: int
    generations: int
    reward_range: float


class Problem(NamedTuple):
    """An exact loop on the samples of the model and, if there are any, of the real data."""

    p_0: Array  # [s]
    p_ref: Array  # [s]
    reward: Array  # [s]
    label: Array  # [s]
    k: Array | float
    lam: Array | float
    temperature: Array | float


def pose(
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
) -> tuple[Fixed, Problem]:
    """The exact loop on the samples given; `forecast` says what the arguments are and what is refused."""
    require("k", k, lambda k: k >= 1, "is not a group size: take a number of at least 1, or inf")
    require("lam", lam, lambda v: v >= 0, "is not a ratio #curated / #real: take a number of at least 0, or inf")
    require("temperature", temperature, lambda t: t >= 0, "is not a temperature: take a number of at least 0")
    require("generations", generations, lambda num: num >= 0, "is no number of retrainings: take 0 or more")
    if real_reward is not None and (label is None) != (real_label is None):
        raise ValueError("one of label and real_label is given: the model and the real data need both or none")
    rewards, labels = row("reward", reward), _labels("label", label, np.shape(reward))
    n = rewards.shape[0]
    p_0 = p_ref = jnp.full(n, 1 / n, rewards.dtype)
    if real_reward is not None:
        real = row("real_reward", real_reward).astype(rewards.dtype)
        m = real.shape[0]
        rewards = jnp.concatenate([rewards, real])
        labels = jnp.concatenate([labels, _labels("real_label", real_label, real.shape)])
        p_0, p_ref = jnp.pad(p_0, (0, m)), jnp.pad(jnp.full(m, 1 / m, rewards.dtype), (n, 0))
    elif real_label is not None:
        raise ValueError("real_label is given without real_reward: give both or none")
    if classes is None:
        if isinstance(labels, Tracer):
            raise ValueError("label is traced, so that the number of classes is not known: say classes=")
        classes = int(labels.max()) + 1
    require("label", labels, lambda v: (v >= 0) & (v < classes), f"has a class outside 0..{classes - 1}")
    if reward_range is None:
        reward_range = bound(rewards, temperature)
    fixed = Fixed(real_reward is None, classes, generations, reward_range)
    return fixed, Problem(p_0, p_ref, rewards, labels, k, lam, temperature)


def course(fixed: Fixed, problem: Problem, observe: Callable[[Array], Any]) -> Any:
    """What `observe` makes of p_0, ..., p_generations, each `[s]`."""
    return theory.trajectory(
        problem.p_0,
        problem.reward,
        k=problem.k,
        lam=problem.lam,
        num=fixed.generations,
        p_ref=problem.p_ref,
        temperature=problem.temperature,
        reward_range=fixed.reward_range,
        observe=observe,
    )


def limit(fixed: Fixed, problem: Problem) -> Array:
    """Where the loop ends, `[s]`."""
    pure = jnp.isinf(problem.lam)
    mixed = theory.mixed_limit(
        problem.p_ref,
        problem.reward,
        k=problem.k,
        lam=jnp.where(pure, 0.0, problem.lam),  # the pure loop has a limit of its own, and is slow to reach
        p_0=problem.p_0,
        temperature=problem.temperature,
        reward_range=fixed.reward_range,
    )
    alone = jnp.where(jnp.asarray(problem.k) == 1, problem.p_0, theory.pure_limit(problem.p_0, problem.reward))
    return jnp.where(pure, alone, mixed)  # with K = 1 nobody chooses


def shares(fixed: Fixed, problem: Problem, p: Array) -> Array:
    """The mass of each class, `[s]` -> `[classes]`."""
    return theory.sums(problem.label, p, fixed.classes)


def entropy(share: Array) -> Array:
    """−Σ p log p in nats, of `[classes]`."""
    return -jnp.sum(jax.scipy.special.xlogy(share, jnp.where(share > 0, share, 1.0)))


def row(name: str, values: Array) -> Array:
    """The finite rewards `[n]` of at least one sample, float32 or more; `ValueError` says of `name` what is wrong."""
    if np.ndim(values) != 1 or np.shape(values)[0] == 0:
        raise ValueError(f"{name} of shape {np.shape(values)} is not a row of rewards: give one number a sample")
    require(name, values, np.isfinite, "has a value that is not finite: leave such samples out")
    return floating(values)


def _labels(name: str, label: Array | None, shape: tuple[int, ...]) -> Array:
    label = jnp.zeros(shape, int) if label is None else jnp.asarray(label)
    if label.shape != shape or not jnp.issubdtype(label.dtype, jnp.integer):
        raise ValueError(f"{name} of shape {label.shape} and type {label.dtype}: give one integer a sample, {shape}")
    return label


def bound(reward: Array, temperature: Array | float) -> float:
    """A static bound on the range of rewards / τ: a power of two, so that few programs compile.

    Raises:
        ValueError: where the range is over `WIDEST`.
    """
    if isinstance(reward, Tracer) or isinstance(temperature, Tracer):
        return 100.0
    degrees = np.asarray(temperature)
    coldest = np.min(degrees, where=degrees > 0, initial=np.inf)  # best-of-K, at 0, needs no range
    spread = np.ptp(np.asarray(reward)) / coldest
    if spread > WIDEST:
        raise ValueError(
            f"rewards span {spread:.3g} temperatures, more than {WIDEST:.0f}, which needs too many nodes: "
            "raise the temperature, or take 0, which is best-of-K"
        )
    return 2.0 ** float(np.ceil(np.log2(max(spread, 4.0))))
