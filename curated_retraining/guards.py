"""The parts of a loop, each of which names the user's function that fails or returns the wrong thing."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from curated_retraining import culprits
from curated_retraining.types import (
    Curator,
    Dataset,
    Family,
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


def begun(family: Family, **parts: str) -> Family:
    """A family of functions of which those that begin a loop are called so where they fail."""
    return family._replace(**{name: _guarded(part, getattr(family, name), _arrays) for name, part in parts.items()})


def model(model: Model) -> Model:
    """`model` with its `sample` and `fit` guarded."""
    sample, fit = _guarded("sampler", model.sample, _pool), _guarded("fit", model.fit, _fitted)
    return lift_all(model._replace(sample=sample, fit=fit))


def preference(preference: Preference) -> Preference:
    """`preference` with its `reward` and `update` guarded."""
    update = _guarded("preference's update", preference.update, _updated)
    return lift_all(preference._replace(reward=_guarded("reward", preference.reward, _rewards), update=update))


def curator(curate: Curator, preference: Preference) -> Curator:
    """`curate`, whose mistakes with a reward of several columns, or of no floats, name the reward too."""
    name = Static(culprits.named(preference.reward))
    return _guarded("curator", Partial(_of_reward, name, lift(curate)), _curated)


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
        found = fault(result, *args)
    except Exception as error:  # whatever a user's function raises, or ours at what it returned
        if told := culprits.told(part, function, error):
            raise ValueError(told) from error
        raise
    if found:
        raise ValueError(f"the {part} {culprits.named(function)} {found}")
    return result


def _of_reward(name: Static, curate, key, pool, reward):
    try:
        return curate(key, pool, reward)
    except ValueError as error:
        if reward.ndim == 1 and jnp.issubdtype(reward.dtype, jnp.floating):
            raise
        raise ValueError(f"{error} (the reward {name.value} returned {_type(reward)})") from error


def _arrays(result, *args):
    del args
    jax.eval_shape(lambda: result)  # an error where it holds anything else


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
    x, weight = curated
    rows = {_shape(leaf)[:1] for leaf in jax.tree.leaves(x)}
    if rows != {_shape(weight)} or not jnp.issubdtype(weight.dtype, jnp.floating):
        return f"returned Dataset({_type(x)}, {_type(weight)}): return as many weights as points, and floats, [n]"


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
    for name, value in report.items():
        if not isinstance(value, jax.Array | np.ndarray | np.generic | complex | float | int):
            return f"returned {_shown(value)} as {name}: return a dict of numbers or arrays by name"
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
    return {jax.tree_util.keystr(path): _type(leaf) for path, leaf in leaves}


def _type(value: Any) -> str:
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "dtype") else _shown(value)


def _shape(value: Any) -> tuple[int, ...]:
    return getattr(value, "shape", ())  # a list or None is no array


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    return f"the shape {value.shape}" if hasattr(value, "shape") else f"a {type(value).__name__}"
