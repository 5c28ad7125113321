"""Which of a user's functions an error is about."""

import functools
import traceback
from pathlib import Path
from typing import Any

import jax
from jax.tree_util import Partial


def told(part: str, function: Any, error: Exception) -> str | None:
    """What to say of an `error` in `part` of the loop, `function`; None where it is ours alone and said clearly."""
    name, where = _last_called(error) or (named(function), "")
    said = str(error).partition("\n")[0]
    if isinstance(error, _ASKED):
        return (
            f"the {part} {name} asks for values while it is traced{where}: take jnp.where for `if` and jnp for np "
            f"({said})"
        )
    if where or _users(function) or not isinstance(error, ValueError):
        return f"the {part} {name} fails{where}: {type(error).__name__}: {said}"


def named(function: Any) -> str:
    """The names of the users' functions that `function` is or holds, or of the first of ours."""
    return ", ".join(_users(function)) or _first(function)


def _first(function: Any) -> str:
    """The name of the first function that `function` holds, or its own."""
    while True:
        if isinstance(function, functools.partial):  # a `Partial` is one
            held = [value for value in function.args if callable(value)] if isinstance(function, Partial) else []
            function = held[0] if held else function.func
        else:
            return getattr(function, "__name__", type(function).__name__)


_ASKED = (
    jax.errors.ConcretizationTypeError,  # `if`, `while`, float()
    jax.errors.TracerArrayConversionError,  # np
    jax.errors.TracerIntegerConversionError,  # an index of a list
    jax.errors.NonConcreteBooleanIndexError,  # x[x > 0]
)
_OURS = {"jax", "jaxlib", "flax", "optax", "chex", "numpy", __name__.partition(".")[0]}
_NOT_USERS = _OURS | {"builtins", "contextlib", "functools"}


def _last_called(error: Exception) -> tuple[str, str] | None:
    """The user's function that was called last, and its line: one that is held by ours, or calls another."""
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        if _is_users(frame.f_globals.get("__name__", "")):
            code = frame.f_code
            return code.co_qualname.rpartition("<locals>.")[2], f" (line {line} of {Path(code.co_filename).name})"
    return None


def _users(function: Any) -> list[str]:
    """The names of users' functions that `function` is or holds, in its arguments or its closure."""
    names, held, seen = [], [function], set()
    while held:
        each = held.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, functools.partial):
            held += [each.func, *each.args, *each.keywords.values()]
        elif isinstance(each, tuple | list):
            held += each
        elif type(each).__name__ == "_HashableCallableShim":  # what a `Partial` makes of a `functools.partial`
            held.append(each.fun)
        elif callable(each) and _is_users(getattr(each, "__module__", None) or type(each).__module__):
            names.append(_first(each))
        elif callable(each):
            held += [cell.cell_contents for cell in getattr(each, "__closure__", None) or ()]
    return list(dict.fromkeys(names))


def _is_users(module: str) -> bool:
    return module.partition(".")[0] not in _NOT_USERS
