"""The public parts of the library by what they return, so that none lacks its row in a table of contracts."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

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
