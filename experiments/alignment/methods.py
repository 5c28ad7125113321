"""The methods as loops whose hyper-parameters are data: one program each over its cells × seeds."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import alignment
from curated_retraining.grids import Loop
from curated_retraining.types import Array, Generation, LoopState, Model, Static
from experiments.alignment import exact
from experiments.alignment.problems import Problem, measure


class Method(NamedTuple):
    """A method with its cells."""

    name: str
    make: Partial  # the repetition and the hyper-parameters -> Loop
    axes: Mapping[str, Sequence[float]]  # the values of its hyper-parameter, if it has one
    generations: int  # retrainings
    exact: Callable[..., exact.Places]  # points, the hyper-parameter -> what a perfect learner does
    anew: bool = False  # one retraining of the model of the real data for each value: what it does goes over the values


class Settings(NamedTuple):
    """What the methods share."""

    k: int
    lams: Sequence[float]
    betas: Sequence[float]
    draws: Sequence[int]  # n of best-of-n
    temperature: float
    generations: int
    curated: int  # points that a generation keeps


def first(problem: Problem) -> Method:
    """The model of the real data, one a seed, from which all others start."""
    return Method("first", Partial(_first, problem), {}, 0, lambda points: exact.once(points, points.p_ref))


def all_of(problem: Problem, begun: LoopState, given: Settings) -> list[Method]:
    """The methods from `begun`, the states `[seeds, ...]` of `first`."""
    problem_and_start = (problem, begun)
    kept, most, several = Static(given.curated), Static(max(given.draws)), given.generations
    course = partial(exact.loop, temperature=given.temperature, generations=several)
    loops = [
        Method(
            f"loop K={k}", Partial(_loop, *problem_and_start, Static(k), kept, given.temperature),
            {"lam": given.lams}, several, partial(course, k=k),
        )
        for k in dict.fromkeys((2, given.k))
    ]  # fmt: skip
    weighted = Partial(_weighted, *problem_and_start, kept, given.temperature)
    draws, betas = {"n": given.draws}, {"beta": given.betas}
    dpo = Partial(_dpo, *problem_and_start, kept, given.temperature)
    return [
        *loops,
        Method("RWR", weighted, {}, several, partial(course, lam=jnp.inf, k=jnp.inf)),
        Method("best-of-n", Partial(_best_of, *problem_and_start, most, kept), draws, 1, exact.best_of_n, anew=True),
        Method("DPO", dpo, betas, 1, partial(exact.optimum, temperature=given.temperature), anew=True),
        Method("REINFORCE", Partial(_reinforce, *problem_and_start), betas, 1, exact.optimum, anew=True),
    ]


def _first(problem: Problem, *, repetition: Array) -> Loop:
    del repetition

    def start(key):
        data_key, start_key = jax.random.split(key)
        return cr.start(start_key, problem.first, cr.with_real(jnp.inf), problem.draw(data_key), slot=0)

    def step(key, state):
        del key
        return state, measure(problem, state.model)

    return Loop(start, step)


def _loop(problem, begun, k: Static, kept: Static, temperature, *, repetition, lam) -> Loop:
    curate = cr.k_way(k.value, cr.luce(temperature))
    return _playing(problem, begun, repetition, problem.model, curate, cr.with_real(lam), k.value * kept.value)


def _weighted(problem, begun, kept: Static, temperature, *, repetition) -> Loop:
    """Reward-weighted regression (Peters, Schaal 2007): samples of the last model weighted by e^{r/τ}."""
    return _playing(problem, begun, repetition, problem.model, cr.tilt(temperature), cr.replace(), kept.value)


def _best_of(problem, begun, most: Static, kept: Static, *, repetition, n) -> Loop:
    curate = cr.k_way(most.value, alignment.best_of(n))
    pool_size = most.value * kept.value
    return _once(problem, _playing(problem, begun, repetition, problem.model, curate, cr.replace(), pool_size))


def _dpo(problem, begun, kept: Static, temperature, *, repetition, beta) -> Loop:
    how = problem.gradients.value
    rate = optax.cosine_decay_schedule(1.0, how.steps)
    model = alignment.dpo(
        problem.model, problem.family, beta=beta, steps=how.steps, batch_size=how.batch, ema=0.0,
        learning_rate=lambda step: how.dpo_rate / beta * rate(step),
    )  # fmt: skip
    curate = alignment.pairs(cr.luce(temperature))
    return _once(problem, _playing(problem, begun, repetition, model, curate, cr.replace(), 2 * kept.value))


def _reinforce(problem, begun, *, repetition, beta) -> Loop:
    how = problem.gradients.value
    falling = optax.cosine_decay_schedule(how.rate, how.steps)
    optimizer = optax.adam(falling) if how.adam else optax.sgd(how.rate)
    model = alignment.reinforce(
        problem.model, problem.family, problem.reward, beta=beta, samples=how.batch, steps=how.steps, ema=0.0,
        optimizer=optimizer,
    )  # fmt: skip
    return _once(problem, _playing(problem, begun, repetition, model, cr.everything(), cr.replace(), 1))


def _playing(problem: Problem, begun: LoopState, repetition, model: Model, curate, mixing, pool_size: int) -> Loop:
    """The loop of `model` from the model of the real data; a seed has the same keys in every method."""
    step = cr.retraining(
        model,
        reward=problem.reward,
        curate=curate,
        mixing=mixing,
        pool_size=pool_size,
        metrics=Partial(_measured, problem),
    )
    return Loop(lambda key: jax.tree.map(lambda leaf: leaf[repetition], begun), step)


def _once(problem: Problem, loop: Loop) -> Loop:
    """`loop` with one generation: after it the model stays, and is only measured."""

    def step(key, state):
        after = jax.lax.cond(state.generation == 0, lambda: loop.step(key, state)[0], lambda: state)
        return after, measure(problem, state.model)

    return Loop(loop.start, step)


def _measured(problem: Problem, record: Generation):
    return measure(problem, record.model)
