"""The few types that everything else is made of."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

Array = jax.Array
PRNGKey = jax.Array
State = Any  # a pytree of arrays, each family's own


class Dataset(NamedTuple):
    """Points with non-negative weights that sum to one."""

    x: Array  # [n, *event]
    weight: Array  # [n]


Reward = Callable[[Array], Array]  # [n, *event] -> [n], or [n, annotators]
Curator = Callable[[PRNGKey, Array, Array], Dataset]  # key, pool, reward -> curated
Choice = Callable[[PRNGKey, Array, Array], Array]  # key, x [k, *event], reward [k] or [k, a] -> logits [k]


class Model(NamedTuple):
    """A family of distributions and how to fit it to weighted points."""

    init: Callable[[PRNGKey, Array], State]  # key, example points [n, *event]
    fit: Callable[[PRNGKey, State, Dataset], State]
    sample: Callable[[PRNGKey, State, int], Array]  # [n, *event]; n is static
    log_prob: Callable[[State, Array], Array] | None  # [n], natural log; None where it has no density


class Mixing(NamedTuple):
    """What a refit sees, and what is remembered for later."""

    init: Callable[[Dataset, int], State]  # real data, curated points per generation -> memory
    mix: Callable[[PRNGKey, State, Dataset], tuple[Dataset, State]]  # key, memory, curated -> train, memory


class LoopState(NamedTuple):
    """All that the next generation needs, hence all that a checkpoint holds."""

    generation: Array  # [] int32
    model: State
    memory: State
    preference: State


class Generation(NamedTuple):
    """All that one generation made; metrics choose what to keep."""

    model: State  # the model that drew the pool
    pool: Array  # [n, *event]
    reward: Array  # [n] or [n, annotators]
    curated: Dataset
    train: Dataset


class Preference(NamedTuple):
    """A reward that changes with the loop."""

    init: Callable[[PRNGKey], State]
    reward: Callable[[State, Array], Array]
    update: Callable[[PRNGKey, State, Generation], State]


SLACK = 1e-4  # of numbers that should sum to one: rounding, and numbers typed with a few digits

Family = TypeVar("Family", Model, Mixing, Preference)
Metrics = Callable[[Generation], dict[str, Array]]
Step = Callable[[PRNGKey, LoopState], tuple[LoopState, dict[str, Array]]]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Static:
    """A value that belongs to the program and not to its data: a leafless pytree, compared by equality."""

    value: Any


def lift(function: Callable) -> jax.tree_util.Partial:
    """A function as a pytree: what a `Partial` holds are inputs of a program, never constants inside it."""
    return function if isinstance(function, jax.tree_util.Partial) else jax.tree_util.Partial(function)


def lift_all(family: Family) -> Family:
    """A family of functions with each of them lifted."""
    return family._make(function and lift(function) for function in family)


def floating(x: ArrayLike) -> Array:
    """`x` in float32 at least: integers, Booleans and shorter floats would round, wrap or saturate on the way."""
    x = jnp.asarray(x)
    return x.astype(jnp.result_type(x.dtype, jnp.float32 if jnp.issubdtype(x.dtype, jnp.floating) else float))


def continuous(x: Array) -> Array:
    """Points as `floating`, for a model of densities or noise; `ValueError` where they are not floats already."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"this model takes real coordinates, not {x.dtype}: give x.astype(float), or take cr.finite")
    return floating(x)


def of_points(what: str, value: Any, num: int) -> Array:
    """`value`, which `what` returned, if it is one number for each of `num` points."""
    if getattr(value, "shape", None) != (num,):
        given = value.shape if hasattr(value, "shape") else type(value).__name__
        raise ValueError(f"{what} returned {given} for {num} points: return one number a point, [{num}]")
    return value


def of_classes(label: Callable[[Array], Array], x: Array, num: int) -> Array:
    """Which of `num` classes each of `x` `[n, *event]` is in, `[n, num]`: a row of zeros where in none."""
    return jax.nn.one_hot(of_points("a label", label(x), x.shape[0]), num)


def require(name: str, value: Any, holds: Callable[[np.ndarray], Any], remedy: str) -> None:
    """Raises `ValueError` where a concrete `value` fails `holds`; what is being traced has no value to look at."""
    if isinstance(value, Tracer):
        return
    if not np.all(holds(np.asarray(value))):
        raise ValueError(f"{name}={value} {remedy}")


def require_weights(real: Dataset) -> None:
    """Raises `ValueError` where concrete weights of real data are negative or NaN or do not sum to one.

    Their sum may be off by `SLACK`, or by the rounding of each in a shorter dtype than float32.
    """
    dtype = real.weight.dtype
    slack = max(SLACK, float(jnp.finfo(dtype).eps)) if jnp.issubdtype(dtype, jnp.floating) else SLACK
    require("weight", real.weight, lambda w: w >= 0, "is no weight of real data: take numbers of at least 0")
    require(
        "weight", real.weight, lambda w: abs(w.sum(dtype=float) - 1) <= slack, "does not sum to 1: divide by the sum"
    )
