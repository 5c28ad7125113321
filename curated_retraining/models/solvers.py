"""Explicit Runge-Kutta solvers: how samples follow a velocity field."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from curated_retraining.types import Array, State

Velocity = Callable[[State, Array], State]  # x, time [] -> dx/dt, like x
Solver = Callable[[Velocity, State, Array, Array | float], State]  # velocity, x, time [], step [] -> x after the step


def solve(solver: Solver, velocity: Velocity, x: State, begin: float, end: float, steps: int) -> State:
    """Where `velocity` leads `x` from time `begin` to `end` in even steps; `x` is an array or a tree of them."""
    step = (end - begin) / steps

    def advance(x, index):
        return solver(velocity, x, begin + step * index, step), None

    return jax.lax.scan(advance, x, jnp.arange(steps))[0]


def euler(velocity: Velocity, x: State, time: Array, step: Array | float) -> State:
    """One evaluation a step, first order."""
    return _moved(x, step, velocity(x, time))


def heun(velocity: Velocity, x: State, time: Array, step: Array | float) -> State:
    """Two evaluations a step, second order."""
    first = velocity(x, time)
    second = velocity(_moved(x, step, first), time + step)
    return _moved(_moved(x, step / 2, first), step / 2, second)


def bogacki_shampine(velocity: Velocity, x: State, time: Array, step: Array | float) -> State:
    """Three evaluations a step, third order (Bogacki, Shampine 1989, without their estimate of the error)."""
    first = velocity(x, time)
    second = velocity(_moved(x, step / 2, first), time + step / 2)
    third = velocity(_moved(x, 3 * step / 4, second), time + 3 * step / 4)
    mean = jax.tree.map(lambda a, b, c: (2 * a + 3 * b + 4 * c) / 9, first, second, third)
    return _moved(x, step, mean)


def rk4(velocity: Velocity, x: State, time: Array, step: Array | float) -> State:
    """Four evaluations a step, fourth order."""
    first = velocity(x, time)
    second = velocity(_moved(x, step / 2, first), time + step / 2)
    third = velocity(_moved(x, step / 2, second), time + step / 2)
    fourth = velocity(_moved(x, step, third), time + step)
    mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, first, second, third, fourth)
    return _moved(x, step, mean)


def _moved(x, step, velocity):
    return jax.tree.map(lambda x, v: x + step * v, x, velocity)
