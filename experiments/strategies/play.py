"""The loops of the strategies, a program a learner, and their exact twins."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from curated_retraining import grids, theory
from curated_retraining.driver import History, drive
from curated_retraining.models.ddpm import cosine_betas, denoising_loss
from curated_retraining.models.samplers import multistep
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.types import Array, Model, State
from experiments import twins
from experiments.compared import loops, ring
from experiments.plane.population import Population
from experiments.strategies.rules import OPPOSITE, Rule, score


class Learner(NamedTuple):
    """What is retrained: the same model with the steps of generation 0 and of a refit; and its own judgement."""

    first: Model
    later: Model
    own: Callable[[State, Array], Array]  # state, x [n, 2] -> [n], large where x is likely


class Task(NamedTuple):
    """What all strategies have in common."""

    gamma: float
    bonus: float
    pool: int
    real: int
    lams: list[str]
    generations: int
    seeds: range
    every: int
    keep: int | None


def mixture() -> Learner:
    """A mixture of eight Gaussians, judged by its density."""
    first, later = (cr.gmm(ring.MODES, steps=steps) for steps in (60, 10))
    return Learner(first, later, cast(Callable, later.log_prob))


def diffusion() -> Learner:
    """A diffusion model, which has no density, judged by its denoising loss."""
    network, betas = TimeMLP(width=64), cosine_betas(100)
    training = {"betas": betas, "sampler": multistep(15), "learning_rate": 2e-3, "batch_size": 256}
    first, later = (cr.ddpm(network, steps=steps, **training) for steps in (3000, 200))
    loss = denoising_loss(jax.random.key(0), network, betas=betas)
    return Learner(first, later, lambda state, x: -loss(state, x))


def play(folder: Path, settings: dict[str, Any], task: Task, learner: Learner, rules: Sequence[Rule]) -> History:
    """Drives every rule at every λ with every seed: `[λ, rules, seeds, generations + 1, ...]` a metric."""
    judged = score(task.gamma, task.bonus, learner.own)
    observe = ring.observed(ring.liking(task.gamma, task.bonus))

    def make(rule, lam):
        def curate(key, pool, reward):
            return jax.lax.switch(rule, [rule.curate for rule in rules], key, pool, reward)

        step = cr.self_judged(
            learner.later, judged, curate=curate, mixing=cr.with_real(lam), pool_size=task.pool, metrics=observe
        )
        return grids.Loop(lambda key: loops.start(learner.first, task.real, key), step)

    lams = [float(lam) for lam in task.lams]
    cells = grids.grid({"lam": lams, "rule": range(len(rules))}, task.seeds)
    begin, advance = loops.programs(make, cells, len(task.seeds))
    columns = [row | {"seed": seed} for row in _rows(task, rules) for seed in task.seeds]
    history = drive(
        folder, settings, begin, advance, cells=columns, generations=task.generations, every=task.every, keep=task.keep
    )
    shape = (len(lams), len(rules), len(task.seeds))
    return {
        name: np.moveaxis(values, 0, 1).reshape(*shape, len(values), *values.shape[2:])
        for name, values in history.items()
    }


def exact(plane: Population, task: Task, rules: Sequence[Rule]) -> History:
    """The population's course under every rule, `[λ, rules, generations + 1, ...]` a metric."""
    opposite = ring.liking(task.gamma, task.bonus, OPPOSITE)
    lams, reward = jnp.array([float(lam) for lam in task.lams]), jnp.stack([plane.reward, opposite(plane.x)])

    def of(rule):
        @jax.jit
        def courses(plane, reward, lams):
            def at(lam):
                return theory.course(
                    lambda p: rule.ratio(p, reward),
                    plane.p_ref,
                    lam=lam,
                    num=task.generations,
                    observe=lambda p: ring.moments(plane, p),
                )

            return jax.lax.map(at, lams)

        return courses(plane, reward, lams)

    found = [of(rule) for rule in rules]
    return {name: np.stack([np.asarray(course[name]) for course in found], axis=1) for name in found[0]}


def leave(folder: Path, course: History, task: Task, rules: Sequence[Rule]) -> None:
    """Writes the `course` that `exact` returns beside the run's own."""
    rows = _rows(task, rules)
    twins.leave(folder, {name: v.reshape(len(rows), *v.shape[2:]) for name, v in course.items()}, rows)


def _rows(task: Task, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [{"strategy": rule.name, "lam": f"{float(lam):g}"} for lam in task.lams for rule in rules]
