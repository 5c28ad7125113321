"""The loops of an experiment in the plane as programs: every λ with every seed, which share generation 0."""

import jax
import jax.numpy as jnp

import curated_retraining as cr
from curated_retraining import grids
from curated_retraining.types import Array, Dataset, LoopState, Metrics, Model, PRNGKey, Reward, Static
from experiments.plane.target import Target

ONE = Static(None)  # device


def generation_zero(
    target: Static, sizes: Static, model: Model, grid: tuple[Array, Array], mesh: Static = ONE
) -> LoopState:
    """Each seed's model of its own real data, the same for all λ: `[lams × seeds, ...]`.

    One device fits it once a seed, several fit it once a cell, each its own.
    """
    num_real, pool_size, k = sizes.value
    lams, seeds = grid

    def of(seed):
        _, start_key, _ = _keys(seed)
        real = real_data(target.value, seed, num_real)
        return cr.start(start_key, model, cr.with_real(jnp.inf), real, slot=pool_size // k)

    if mesh.value is not None:
        return grids.mapped(of, jnp.tile(seeds, len(lams)), mesh=mesh.value)
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(lams)), grids.mapped(of, seeds))


def real_data(target: Target, seed: Array, num: int) -> Dataset:
    """The real data of a seed."""
    return target.draw(_keys(seed)[0], num)


def generation(
    sizes: Static,
    model: Model,
    reward: Reward,
    observe: Metrics,
    temperature: float,
    grid: tuple[Array, Array],
    mesh: Static,
    state: LoopState,
) -> tuple[LoopState, dict[str, Array]]:
    """One retraining of every cell, `[lams × seeds, ...]`; a seed has the same keys under every λ."""
    lams, seeds = grid

    def of(cell):
        lam, seed, state = cell
        return retrained(sizes, model, reward, observe, temperature, lam, seed, state)

    return grids.mapped(of, (jnp.repeat(lams, len(seeds)), jnp.tile(seeds, len(lams)), state), mesh=mesh.value)


def retrained(
    sizes: Static,
    model: Model,
    reward: Reward,
    observe: Metrics,
    temperature: Array | float,
    lam: Array,
    seed: Array,
    state: LoopState,
) -> tuple[LoopState, dict[str, Array]]:
    """One retraining of one cell; its reward, temperature and λ = #curated / #real may all be traced."""
    _, pool_size, k = sizes.value
    step = cr.retraining(
        model,
        reward=reward,
        curate=cr.k_way(k, cr.luce(temperature)),
        mixing=cr.with_real(lam),
        pool_size=pool_size,
        metrics=observe,
    )
    return step(_keys(seed)[2], state)


def _keys(seed: Array) -> PRNGKey:
    """The keys of the real data, of generation 0 and of the loop."""
    return jax.random.split(jax.random.key(seed), 3)
