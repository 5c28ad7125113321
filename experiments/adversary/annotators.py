"""Adversaries who choose: measured and exact courses by their share."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids, metrics, theory
from curated_retraining.types import Array, Generation, Static
from experiments import common, loops
from experiments.adversary import world
from experiments.adversary.world import World
from experiments.gmm import RING

KINDS = ("opposed", "flipped", "targeted")  # want −r; are flipped at random; are flipped where mode 0 takes part


def cells(shares: Sequence[float]) -> list[tuple[str, float]]:
    """Every kind of adversary with every share."""
    return [(kind, share) for kind in KINDS for share in shares]


def play(
    folder: Path, plane: World, shares: Sequence[float], *, k: int, gamma: float, curated: int, real: int
) -> dict[str, np.ndarray]:
    """Drives every kind with every share of adversaries: `[cells, seeds, generations + 1]` a metric."""
    reward = world.genuine(gamma)

    def make(people):
        choice = cr.flipped(cr.crowd(jnp.stack([1 - people[0], people[0]])), people[1])
        return world.loop(
            cr.stack(reward, cr.negate(reward)),
            cr.k_way(k, cr.flipped(choice, people[2], _targets)),
            metrics.join(
                metrics.proportions(RING.label, world.MODES), Partial(_observe, Static((k, plane.reward_range)), people)
            ),
            pool=k * curated,
            slot=curated,
            real=real,
        )

    grid = grids.grid({"people": [_people(*cell) for cell in cells(shares)]}, common.seeds())
    columns = [
        {"adversary": kind, "share": share, "seed": seed} for kind, share in cells(shares) for seed in common.seeds()
    ]
    return loops.driven(folder, make, grid, columns=columns)


def courses(plane: World, shares: Sequence[float], *, k: int, generations: int) -> dict[str, np.ndarray]:
    """The exact twins of what is measured, `[cells, generations + 1]`."""
    targets = _targets(plane.x)

    def of(people):
        operator = _operator(plane.reward, targets, people, plane.reward_range)

        def observe(p):
            return _moments(p, plane.reward, operator, k)

        return theory.course(lambda p: operator(p, k), plane.p_ref, lam=jnp.inf, num=generations, observe=observe)

    people = jnp.array([_people(*cell) for cell in cells(shares)])
    return jax.tree.map(np.asarray, jax.jit(lambda people: jax.lax.map(of, people))(people))


def _people(kind: str, share: float) -> tuple[float, ...]:
    """The share of those opposed, of choices flipped at random, and of those flipped where mode 0 takes part."""
    return tuple(share * (kind == name) for name in KINDS)


def _targets(x: Array) -> Array:
    return RING.label(x) == 0


def _operator(r: Array, targets: Array, people: Array, reward_range: float):
    opposed, at_random, targeted = people
    crowd = theory.crowd_operator(jnp.stack([r, -r]), jnp.stack([1 - opposed, opposed]), reward_range=reward_range)
    return theory.flipped_operator(theory.flipped_operator(crowd, at_random), targeted, targets)


def _moments(p: Array, r: Array, operator, k: int) -> dict[str, Array]:
    covariance = theory.reward_gain(p, r, k=k, chosen_by=operator)  # at finite K the gain is the covariance
    return {"genuine": p @ jnp.exp(r), "covariance": covariance, "gain": covariance}


def _observe(static: Static, people, record: Generation):
    (k, reward_range), n = static.value, record.pool.shape[0]
    r = record.reward[:, 0]
    operator = _operator(r, _targets(record.pool), people, reward_range)
    return _moments(jnp.full(n, 1 / n), r, operator, k)
