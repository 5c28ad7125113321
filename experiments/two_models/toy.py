"""Two Gaussians that train on each other: the toy of `theory.several`, whose docstring derives it, by samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import grids, theory
from curated_retraining.driver import History, drive
from curated_retraining.types import Array, Model, Static, lift_all
from experiments.repeated import standard_error

REAL = 0.4  # 1 − α, the share of real data that q trains on
COUPLING = np.array([[0.35, 0.15], [0.15, 0.35]])  # A, eigenvalues 0.5 and 0.2
PULL = np.array([1.0, 0.0])  # a
LIKED = np.array([[1.0, 0.0], [-0.5, 1.5]])  # g of p and of q
COST = np.array([0.8, 0.5])  # η of p and of q
LAST = 8  # generations that a measured number is the mean of
SHARES = np.array([[0, 0, 0, 0, 1], [REAL, 0, 0, 1 - REAL, 0]])  # p: q's curated; q: real and p's curated


def play(
    folder: Path,
    settings: dict[str, Any],
    strengths: Sequence[float],
    seeds: Sequence[int],
    *,
    pool: int,
    generations: int,
    every: int,
    keep: int | None,
) -> History:
    """Drives every strength with every seed, in one program: history `[generations + 1, strengths × seeds, ...]`."""
    cells = grids.grid({"strength": strengths}, seeds)
    begin, advance = grids.programs(Partial(make, Static(pool)), cells)
    return drive(folder, settings, begin, advance, cells=cells, generations=generations, every=every, keep=keep)


def make(pool: Static, strength: Array) -> grids.Loop:
    """The loop of p and q, where those who curate q's samples, for p, feel strength ⟨a, x⟩."""
    models = [held(cr.gaussian())] * 2
    rewards = [Partial(_bent, (1 - REAL) * np.linalg.inv(COUPLING) - np.eye(2)), Partial(_pulled, strength * PULL)]
    step = cr.interacting(
        models,
        reward=rewards,
        curate=[cr.tilt()] * 2,
        pool_size=[pool.value] * 2,
        shares=SHARES,
        metrics=[Partial(_observed, liked, cost) for liked, cost in zip(LIKED, COST, strict=True)],
    )

    def start(key):
        data_key, start_key = jax.random.split(key)
        half = jax.random.normal(data_key, (pool.value // 2, 2))
        real = cr.uniform(jnp.concatenate([half, -half]))  # their mean is that of the population, zero
        return cr.start_interacting(start_key, models, [real] * 2, reward=rewards)

    return grids.Loop(start, step)


def held(gaussian: Model) -> Model:
    """Learns the mean alone: the covariance stays the identity, as in the toy."""
    return gaussian._replace(fit=Partial(_fit_mean, lift_all(gaussian).fit))


def measured(history: History, strengths: Sequence[float]) -> dict[str, np.ndarray]:
    """J and dJ/dλ of p and q, `[2, seeds, strengths]`: means of the last generations, and differences of these.

    A seed has the same keys at every strength, so most of the noise leaves the central differences, which are exact for
    a parabola on an even grid; the first and the last strength have none.
    """
    values = np.stack([history[f"alignment_{i}"][-LAST:].mean(axis=0) for i in range(2)])
    values = np.swapaxes(values.reshape(2, len(strengths), -1), 1, 2)
    at, slope = np.asarray(strengths), np.full(values.shape, np.nan)
    slope[..., 1:-1] = (values[..., 2:] - values[..., :-2]) / (at[2:] - at[:-2])
    return {"alignment": values, "influence": slope}


def exact(strengths: np.ndarray) -> dict[str, np.ndarray]:
    """The same of the fixed points, `[2, strengths]`."""
    each = [
        (
            theory.alignment(theory.coupled_means(COUPLING, PULL, strength), LIKED, COST),
            theory.curation_influence(COUPLING, PULL, strength, LIKED, COST),
        )
        for strength in strengths
    ]
    values, slopes = (np.stack([np.asarray(of) for of in column], axis=1) for column in zip(*each, strict=True))
    return {"alignment": values, "influence": slopes}


def turning() -> np.ndarray:
    """The strengths `[2]` at which dJ_p/dλ and dJ_q/dλ change sign."""
    return np.asarray(theory.turning_strength(COUPLING, PULL, LIKED, COST))


def table(found: dict[str, np.ndarray], course: dict[str, np.ndarray], strengths: Sequence[float]) -> str:
    """Measured against exact at each strength, as text; errors are standard errors over seeds."""
    lines, away = [f"{'strength of curation':>28}" + "".join(f"{strength:8g}" for strength in strengths)], []
    for name, symbol in (("alignment", "J_{}"), ("influence", "dJ_{}/dλ")):
        for row, model in enumerate("pq"):
            runs, of = found[name][row], course[name][row]
            told = {"measured": runs.mean(axis=0), "exact": of}
            if len(runs) > 1:
                told["standard error"] = standard_error(runs)
                away.append(np.nanmax(np.abs(told["measured"] - of) / told["standard error"]))
            for what, values in told.items():
                lines.append(f"{f'{symbol.format(model)} {what}':>28}" + "".join(f"{value:8.3f}" for value in values))
    if away:
        lines.append(f"largest |measured − exact|: {max(away):.1f} standard errors ({len(runs)} seeds)")
    changes = ", ".join(f"{at:.3f} (J_{model})" for at, model in zip(turning(), "pq", strict=True))
    lines.append(f"dJ/dλ changes sign at {changes}")
    return "\n".join(lines)


def _bent(bend, x):
    return -0.5 * jnp.sum((x @ bend) * x, axis=1)


def _pulled(pull, x):
    return x @ pull


def _observed(liked, cost, record):
    values = record.pool @ liked - cost / 2 * (jnp.sum(record.pool**2, axis=1) - 2)
    return {"alignment": values.mean(), "mean": record.model.mean[0]}


def _fit_mean(fit, key, state, data):
    fitted = fit(key, state, data)
    return fitted._replace(chol=jnp.broadcast_to(jnp.eye(2), fitted.chol.shape))
