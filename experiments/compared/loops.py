"""Flags and programs of loops that differ in data alone and share generation 0."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids
from curated_retraining.grids import Cell, Loop
from curated_retraining.types import LoopState, Model, PRNGKey, Static
from experiments import common, helps
from experiments.plane.population import MAX_RANGE, Population


def define(name: str, *, generations: int) -> None:
    """The flags of both comparisons."""
    common.loop(name, generations=generations)
    with common.group(helps.PLAYED):
        common.number("gamma", 1.0, "γ, how much annotators dislike distance from the mode they like")
        common.number("bonus", 1.0, "what a sample of the mode they like is worth to them by itself")
    with common.group(helps.SIZES):
        common.count("pool", 8192, "samples a generation, a multiple of K", 2)
        common.count("real", 4000, "real points", 2)
    common.repetitions()


def numbers(name: str, default: list[str], what: str, holds: Callable[[float], bool], example: str) -> None:
    """A flag that takes different finite numbers for which `holds`, separated by commas."""

    def meant(texts: list[str]) -> bool:
        values = common.distinct(texts)
        return bool(values) and all(math.isfinite(value) and holds(value) for value in values)

    flags.DEFINE_list(name, default, what)
    flags.register_validator(name, meant, f"takes {what}, all different, such as --{name}={example}")


def required_range(plane: Population) -> float:
    """How many temperatures the rewards on `plane` range over.

    Raises:
        app.UsageError: where they are all alike, or range over more than exact courses take.
    """
    spread = float(np.ptp(plane.reward)) / (flags.FLAGS.temperature or 1.0)
    if not 0 < spread <= MAX_RANGE:
        given = ", ".join(f"--{name}={flags.FLAGS[name].value}" for name in ("gamma", "bonus", "temperature"))
        raise app.UsageError(
            f"{given} make rewards range over {spread:.0f} temperatures: take more than 0 and at most {MAX_RANGE}"
        )
    return spread


def start(model: Model, num: int, key: PRNGKey) -> LoopState:
    """Generation 0 of `model` on `num` real points of its own."""
    data_key, start_key = jax.random.split(key)
    return cr.start(start_key, model, cr.with_real(jnp.inf), cr.ring(data_key, num), slot=1)


def programs(make: Callable[..., Loop], cells: Sequence[Cell], num_seeds: int) -> tuple[Partial, Partial]:
    """`grids.programs` where generation 0 depends on the seed alone, which changes fastest: each is fitted once."""
    _, advance = grids.programs(make, cells)
    begin, _ = grids.programs(make, cells[:num_seeds])
    return Partial(_repeated, begin, Static(len(cells) // num_seeds)), advance


def _repeated(begin: Partial, times: Static) -> LoopState:
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * times.value), begin())
