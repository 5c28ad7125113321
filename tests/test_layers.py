"""The import lines of the source against the one direction that they may have, and the public names."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import curated_retraining as cr

ROOT = Path(__file__).parent.parent
PACKAGE = "curated_retraining"

SHARED = ("models.couplings", "models.samplers", "models.solvers")  # parts of models

# What a module may import of ours beside `types` (and, in a package, its own modules where it is named here).
OURS = {
    "types": set(),
    "networks": {"networks"},
    "figures": {"figures"},
    "theory": {"types", "theory"},
    "forecast": {"types", "theory", "forecast"},
    "detection": {"types", "theory", "forecast.problem", "detection"},
    "curation": {"types", "data", "curation"},
    "preferences": {"types", "data", "curation", "loop", "models.trained", "preferences"},
    "alignment": {"types", "curation", "models.finite", "models.trained", "alignment"},
    "guards": {"types", "culprits"},
    "loop": {"types", "guards"},
    "mixing": {"types", "data"},
    "sweep": {"types", "grids", "driver"},
    "driver": {"types", "guards", "driver"},
    "export": {"types", "sweep"},
    "interacting": {"types", "data", "guards", "loop"},
    "attacks": {"types"},
    "metrics": {"types", "metrics"},
    "datasets": {"types", "datasets"},
    "classifiers": {"types", "data", "datasets", "metrics", "models.trained", "networks", "classifiers"},
    "inception": {"types", "inception"},
    "models": {"types", "data", "models.trained", *SHARED, "networks"},
    "models.trained": {"types", "data"},
    **{name: {"types"} for name in SHARED},
}
ONLY = {"orbax": "driver", "matplotlib": "figures", "absl": "experiments"}


def modules(folder):
    """Dotted names below `folder` and their files; a package goes by its own name."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imported(path):
    """Dotted names that a file imports, wherever in it; `from a import b` counts as a.b, whatever b is."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name, parents):
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


LIBRARY = dict(modules(PACKAGE))
EVERYTHING = [
    (f"{folder}.{name}" if folder != PACKAGE else name, path)
    for folder in (PACKAGE, "experiments", "benchmarks")
    for name, path in modules(folder)
]


@pytest.mark.parametrize("module", [name for name in LIBRARY if name])
def test_imports_point_down(module):
    allowed = OURS.get(module) or OURS.get(module.split(".")[0], {"types"})
    ours = {name.removeprefix(f"{PACKAGE}.") for name in imported(LIBRARY[module]) if within(name, [PACKAGE])}
    assert {name for name in ours if not within(name, allowed)} == set()


def test_types_stand_on_jax_alone():
    foreign = {name.split(".")[0] for name in imported(LIBRARY["types"])}
    assert foreign <= {"jax", "chex", "numpy", "dataclasses", "collections", "typing"}


@pytest.mark.parametrize(("library", "home"), ONLY.items())
def test_each_of_the_host_libraries_has_one_home(library, home):
    users = {name for name, path in EVERYTHING if any(within(other, [library]) for other in imported(path))}
    assert {name for name in users if not within(name, [home])} == set()


@pytest.mark.parametrize("path", [path for name, path in LIBRARY.items() if path.name == "__init__.py"], ids=str)
def test_a_package_lists_names_and_does_nothing(path):
    rest = ast.parse(path.read_text()).body[1:]  # after the docstring
    assert all(
        isinstance(node, ast.Import | ast.ImportFrom) or ast.unparse(node).startswith("__all__ =") for node in rest
    )


def test_public_names_are_sorted_and_there():
    assert list(cr.__all__) == sorted(set(cr.__all__))
    missing = [name for name in cr.__all__ if not hasattr(cr, name)]
    assert missing == []


def test_every_public_function_says_what_it_returns():
    for info in pkgutil.walk_packages(cr.__path__, f"{PACKAGE}."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == info.name and not name.startswith("_"):
                assert inspect.getdoc(value), f"{info.name}.{name} has no docstring"
