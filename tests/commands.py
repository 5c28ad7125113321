"""Experiments called as their commands are, in this process."""

import ast
import contextlib
import importlib.util
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest
from absl import app, flags
from absl.testing import flagsaver

from curated_retraining.driver import RunError
from experiments import common, helps


@contextlib.contextmanager
def command(experiment) -> Iterator[Callable[..., str | None]]:
    """Calls `main` of an experiment with some flags; what comes back is the mistake that it told, if any.

    Its flags are taken away at the end.
    """
    before = set(flags.FLAGS)
    experiment.define()

    def call(*arguments):
        with flagsaver.flagsaver(), jax.debug_key_reuse(False):  # which takes a map's keys for used ones
            try:
                flags.FLAGS(["experiment", *arguments])
                experiment.main()
            except (flags.Error, app.UsageError, RunError) as error:
                return str(error)

    try:
        yield call
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)


@contextlib.contextmanager
def defined(name: str) -> Iterator[str]:
    """The page of help of an experiment, whose flags are defined as its command does it, up to where it parses them."""
    before, shown = set(flags.FLAGS), []
    module = importlib.util.find_spec(f"experiments.{name}")
    if module.submodule_search_locations:
        module = importlib.util.find_spec(f"experiments.{name}.__main__")
    docstring = ast.get_docstring(ast.parse(Path(module.origin).read_text()))

    def launch(main, *, arguments=""):
        del main
        shown.append(helps.page(docstring, common.ours(), arguments))

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(common, "launch", launch)
            patch.setattr(sys, "argv", [f"/{name}.py"])
            runpy.run_module(f"experiments.{name}", run_name="__main__")
            (page,) = shown
            yield page
    finally:
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)
