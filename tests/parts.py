"""What tables of contracts ask of the parts of the library: that none lacks its row, and none is traced twice."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import jax

import curated_retraining as cr


def named(package: str, *kinds: Any) -> set[str]:
    """Names of the public functions of `package`, and of its modules, that are annotated to return one of `kinds`."""
    return {
        name
        for module in _modules(f"{cr.__name__}.{package}")
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and inspect.signature(value).return_annotation in kinds
    }


def _modules(name: str) -> Iterator[Any]:
    yield (module := importlib.import_module(name))
    for info in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        yield importlib.import_module(info.name)


def built(row: Any) -> list[Any]:
    """The part of a row with each of its values, or once where it has none."""
    return [row.build(value) for value in row.values] or [row.build()]


class Counted:
    """A function under `jit`, and how often it was traced."""

    def __init__(self, function, **options):
        def traced(*arguments):
            self.traces += 1
            return function(*arguments)

        self.traces, self.call = 0, jax.jit(traced, **options)

    def __call__(self, *arguments):
        return self.call(*arguments)
