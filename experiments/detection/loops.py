"""Simulated loops on a ring of eight Gaussians, and the rewards of their samples: what a detective is given."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids, metrics
from curated_retraining.driver import drive
from curated_retraining.types import Array, Generation, Model, Reward, Static
from experiments import loops

FIRST, LATER = 60, 10  # EM steps of generation 0, and of a refit
MODELS = ("gmm", "finite")


class Sizes(NamedTuple):
    """What a loop is made of."""

    model: str
    curated: int  # points chosen a generation, and real points
    samples: int  # whose rewards are kept
    generations: int


class Evidence(NamedTuple):
    """Rewards of samples of the last two generations and of the real data, and what truly happened, a loop each."""

    before: np.ndarray  # [loops, samples]
    after: np.ndarray  # [loops, samples]
    real: np.ndarray  # [loops, samples]
    k: np.ndarray  # [loops]
    lam: np.ndarray  # [loops]


def play(
    out: Path, settings: dict[str, Any], sizes: Sizes, reward: Reward, *, ks: Sequence[int], lams: Sequence[float],
    temperature: float, seeds: Sequence[int], every: int, keep: int | None,
) -> Evidence:  # fmt: skip
    """Drives the loops of every λ = #curated / #real with every seed, those of each K in `out/k=K`."""
    found = []
    for k in ks:
        cells = grids.grid({"lam": lams}, seeds)
        begin, advance = grids.programs(Partial(_make, Static((k, sizes)), reward, temperature), cells)
        folder = out / f"k={k}"
        history = drive(
            folder, settings, begin, advance, cells=cells, generations=sizes.generations, every=every, keep=keep
        )
        reward_of, real = history["rewards"][..., 0], history["real_rewards"][..., 0]
        lam = np.array([cell["lam"] for cell in cells])
        found.append(Evidence(reward_of[-2], reward_of[-1], real[-1], np.full(len(cells), float(k)), lam))
    return Evidence(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _make(static: Static, reward: Reward, temperature: float, lam: Array) -> grids.Loop:
    k, sizes = static.value
    first, later = (_model(sizes.model, steps) for steps in (FIRST, LATER))
    return loops.loop(
        first,
        later,
        lambda key: cr.ring(key, sizes.curated),
        reward=reward,
        curate=cr.k_way(k, cr.luce(temperature)),
        mixing=cr.with_real(lam),
        pool=k * sizes.curated,
        slot=sizes.curated,
        metrics=metrics.join(metrics.reward_moments(), Partial(_kept, Static(sizes.samples), reward)),
    )


def _model(name: str, steps: int) -> Model:
    if name == "finite":
        return cr.finite(jax.jit(cr.ring, static_argnums=1)(jax.random.key(0), 2048).x)
    return cr.gmm(components=8, steps=steps)


def _kept(num: Static, reward: Reward, record: Generation) -> dict[str, Array]:
    """Rewards of the first samples and of the first real points, which `with_real` puts first, `[samples, 1]` each."""
    real = reward(record.train.x[: num.value])
    return {"rewards": record.reward[: num.value, None], "real_rewards": jnp.asarray(real)[:, None]}
