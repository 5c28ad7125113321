"""The loop of images as `driver.drive` wants it: every cell, a λ and a seed each, one after the other."""

from typing import Any

import jax
import jax.numpy as jnp

import curated_retraining as cr
from curated_retraining import grids
from curated_retraining.types import Array, Curator, Dataset, LoopState, Metrics, Model, Reward, Static

ALONE = Static(None)  # device


def generation_zero(cells: Static, model: Any) -> LoopState:
    """The pretrained `model` before its first retraining, `[cells, ...]`."""
    return _in_cells(cells.value, LoopState(jnp.zeros((), jnp.int32), model, (), ()))


def generation(
    model: Model,
    reward: Reward,
    curate: Curator,
    observe: Metrics,
    pool_size: Static,
    real: Dataset,
    columns: tuple[Array, Array],
    state: LoopState,
    mesh: Static = ALONE,
) -> tuple[LoopState, dict[str, Array]]:
    """One retraining of every cell, `[cells, ...]`, a λ = #curated / #real and a seed each; a `mesh` shares them.

    The memory of the loop is the real data, always the same: they are an argument here and no part of the state, so
    that no checkpoint holds them.
    """

    def of(cell):
        (lam, seed), state = cell
        step = cr.retraining(
            model,
            reward=reward,
            curate=curate,
            mixing=cr.with_real(lam),
            pool_size=pool_size.value,
            metrics=observe,
        )
        state, report = step(jax.random.key(seed), state._replace(memory=real))
        return state._replace(memory=()), report

    return grids.mapped(of, (columns, state), mesh=mesh.value)


def untrained(init: Any, x: Array) -> LoopState:
    """The generator as it starts, in one cell."""
    return _in_cells(1, LoopState(jnp.zeros((), jnp.int32), init(jax.random.key(0), x), (), ()))


def _in_cells(num: int, state: LoopState) -> LoopState:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)), state)
