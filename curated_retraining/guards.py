"""The parts of a loop, each of which names the user's function that asks for values or returns the wrong thing."""

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.tree_util import Partial

from curated_retraining.types import (
    Curator,
    Dataset,
    Metrics,
    Mixing,
    Model,
    Preference,
    Static,
    lift,
    lift_all,
    require,
    require_weights,
)


def model(model: Model) -> Model:
    """`model` with its `sample` and `fit` guarded."""
    sample, fit = _guarded("sampler", model.sample, _pool), _guarded("fit", model.fit, _fitted)
    return lift_all(model._replace(sample=sample, fit=fit))


def preference(preference: Preference) -> Preference:
    """`preference` with its `reward` and `update` guarded."""
    update = _guarded("preference's update", preference.update, _updated)
    return lift_all(preference._replace(reward=_guarded("reward", preference.reward, _rewards), update=update))


def curator(curate: Curator, preference: Preference) -> Curator:
    """`curate`, whose mistakes with a reward of several columns name the reward too."""
    return _guarded("curator", Partial(_of_columns, Static(_name(preference.reward)), lift(curate)), _curated)


def mixing(mixing: Mixing) -> Mixing:
    """`mixing` with its `mix` guarded."""
    return lift_all(mixing._replace(mix=_guarded("mixing", mixing.mix, _mixed)))


def metrics(metrics: Metrics) -> Metrics:
    """`metrics`, guarded."""
    return _guarded("metrics", metrics, _report)


def pool_size(size: int) -> Static:
    """`size` as a part of the program."""
    whole("pool_size", size, 1)
    return Static(size)


def whole(name: str, value: Any, least: int) -> None:
    """Raises `ValueError` where `value` is not a whole number of at least `least`."""
    require(name, value, lambda n: n.dtype.kind in "iu" and n >= least, f"is not a whole number of at least {least}")


def real(data: Any) -> Dataset:
    """`data` if they are points with weights that sum to one."""
    if not isinstance(data, Dataset):
        raise ValueError(f"the real data are of the type {type(data).__name__}: give a Dataset, as uniform(x) makes")
    require_weights(data)
    return data


def _guarded(part: str, function: Callable, fault: Callable[..., str | None]) -> Partial:
    """`function`, whose result and arguments are given to `fault`: what it says is wrong becomes an error."""
    return Partial(_call, Static((part, fault)), lift(function))


def _call(how: Static, function, *args):
    part, fault = how.value
    try:
        result = function(*args)
    except _ASKED as error:
        name, where = _asked(error) or (_name(function), "")
        raise ValueError(
            f"the {part} {name} asks for values while it is traced{where}: take jnp.where for `if` and jnp for np "
            f"({str(error).splitlines()[0]})"
        ) from error
    if found := fault(result, *args):
        raise ValueError(f"the {part} {_name(function)} {found}")
    return result


_ASKED = (
    jax.errors.ConcretizationTypeError,  # `if`, `while`, float()
    jax.errors.TracerArrayConversionError,  # np
    jax.errors.TracerIntegerConversionError,  # an index of a list
    jax.errors.NonConcreteBooleanIndexError,  # x[x > 0]
)
_LIBRARIES = {"jax", "jaxlib", "flax", "optax", "chex", "numpy", __name__.partition(".")[0]}


def _asked(error: Exception) -> tuple[str, str] | None:
    """The user's function that was called last, and its line: one that is held by ours, or calls another."""
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _LIBRARIES:
            code = frame.f_code
            return code.co_qualname.rpartition("<locals>.")[2], f" (line {line} of {Path(code.co_filename).name})"
    return None


def _name(function: Any) -> str:
    while True:
        if isinstance(function, functools.partial):  # a `Partial` is one
            held = [value for value in function.args if callable(value)] if isinstance(function, Partial) else []
            function = held[0] if held else function.func
        elif type(function).__name__ == "_HashableCallableShim":  # what a `Partial` makes of a `functools.partial`
            function = function.fun
        else:
            return getattr(function, "__name__", type(function).__name__)


def _of_columns(reward_name: Static, curate, key, pool, reward):
    try:
        return curate(key, pool, reward)
    except ValueError as error:
        if reward.ndim == 1:
            raise
        raise ValueError(f"{error} (the reward {reward_name.value} returned the shape {reward.shape})") from error


def _pool(pool, key, state, num):
    del key, state
    if _shape(pool)[:1] != (num,):
        return f"returned {_shown(pool)} for pool_size={num}: return so many points, [{num}, *event], as `num` asks"


def _rewards(reward, state, pool):
    del state
    n, shape = len(pool), _shape(reward)
    if len(shape) not in (1, 2) or shape[0] != n:
        return (
            f"returned {_shown(reward)} for {n} points: return one number a point, [{n}], or one column an annotator, "
            f"[{n}, annotators]"
        )


def _curated(curated, key, pool, reward):
    del key, pool, reward
    if not isinstance(curated, Dataset):
        return (
            f"returned {_shown(curated)}: return the points kept and their weights, Dataset(x, weight); a choice is "
            "made a curator by k_way(k, choice)"
        )


def _mixed(mixed, key, memory, curated):
    del key, curated
    match mixed:
        case [Dataset(), after]:
            return _unlike("the memory", after, memory)
    return f"returned {_shown(mixed)}: return two things, the Dataset to train on and the memory"


def _fitted(fitted, key, state, data):
    del key, data
    return _unlike("the state", fitted, state)


def _updated(updated, key, state, record):
    del key, record
    return _unlike("the preference's state", updated, state)


def _report(report, record):
    del record
    if not isinstance(report, dict):
        return f"returned {_shown(report)}: return a dict of numbers or arrays by name"
    if "effective_size" in report:
        return "returned effective_size, which each report has of the training weights: choose another name"


def _unlike(what: str, new: Any, old: Any) -> str | None:
    """How a part of the loop's state differs from what it was: a program goes on with the same types alone."""
    now, was = jax.eval_shape(lambda: (new, old))
    types, before = _types(now), _types(was)
    for place in types | before:
        if types.get(place) != before.get(place):
            found, wanted = (each.get(place, "nothing") for each in (types, before))
            return f"returned {found} as {what}{place}, which was {wanted}: keep structure, shapes and dtypes"
    if (structure := jax.tree.structure(now)) != (wanted := jax.tree.structure(was)):
        return f"returned {what} with the structure {structure}, not {wanted}: keep it"


def _types(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _shape(value: Any) -> tuple[int, ...]:
    return getattr(value, "shape", ())  # a list or None is no array


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    return f"the shape {value.shape}" if hasattr(value, "shape") else f"a {type(value).__name__}"
