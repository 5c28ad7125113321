"""Random and awkward instances of the theory's arguments, and statements about each of them by one program."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

EPS = float(np.finfo(np.float64).eps)
NUM, POINTS, GENERATIONS = 1200, 6, 8
ACCURACY = 1e-8  # of the operator in float64 for every real K, relative


class Instances(NamedTuple):
    """The arguments of the theory, a row an instance."""

    p: np.ndarray  # [n, 6], all above zero
    r: np.ndarray  # [n, 6], at most 0, which one point has
    k: np.ndarray  # [n]
    lam: np.ndarray  # [n]


def awkward() -> Instances:
    """Ranges 1e-3..100, K 1..1000 (half of them whole, some infinite), λ 1e-3..1e3 (some infinite), rare levels."""
    rng = np.random.default_rng(0)
    unit = rng.uniform(size=(NUM, POINTS))
    unit[:, 0], unit[:, 1] = 0, 1
    rarest = 10 ** rng.uniform(-9, 0, (NUM, 1))  # on the lowest level in a third, on the highest in another
    p = rng.dirichlet(np.ones(POINTS), NUM) + 1e-12
    rare = (np.arange(NUM) % 3)[:, None] == np.arange(POINTS)
    p = np.where(rare & (np.arange(POINTS) < 2), p * rarest, p)
    k = 10 ** rng.uniform(0, 3, NUM)
    k = np.where(np.arange(NUM) % 2 == 0, k, k.round())
    k = np.where(np.arange(NUM) % 20 == 0, np.inf, k)
    lam = np.where(np.arange(NUM) % 10 == 1, np.inf, 10 ** rng.uniform(-3, 3, NUM))
    r = 10 ** rng.uniform(-3, 2, (NUM, 1)) * (unit - 1)
    return Instances(p / p.sum(axis=1, keepdims=True), r, k, lam)


def nearly_tight() -> Instances:
    """Where the increment bound nearly is one: small ranges, or almost all mass at the top and K large."""
    rng = np.random.default_rng(1)
    p, r = rng.dirichlet(np.ones(POINTS), NUM) + 1e-3, 1e-3 * rng.uniform(-1, 0, (NUM, POINTS))
    k = 10 ** rng.uniform(np.log10(1.5), 3, NUM)
    low = np.arange(NUM) % 2 == 0
    p[low], r[low], k[low] = [1.0, *[1e-4] * 5], [0.0, *[-100.0] * 5], 1000.0
    lam = 10 ** rng.uniform(-3, 3, NUM)
    return Instances(p / p.sum(axis=1, keepdims=True), r - r.max(axis=1, keepdims=True), k, lam)


@functools.cache
def _program(statement):
    return jax.jit(jax.vmap(statement))


def many(statement, arrays):
    """A statement about each row of the arrays."""
    return np.asarray(_program(statement)(*(jnp.asarray(value) for value in arrays)))
