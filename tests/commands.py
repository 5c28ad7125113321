"""Experiments called as their commands are, in this process."""

import contextlib
from collections.abc import Callable, Iterator

import jax
from absl import app, flags
from absl.testing import flagsaver

from curated_retraining.driver import RunError


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
