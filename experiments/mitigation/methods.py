"""The mitigations as data of one loop, and of its exact twin.

Annotators read bonus · q_0(x) of a classifier, less the distance. A mitigation changes the classifier's temperature,
adds a bonus to rare modes or unlikely points, weighs the chosen by their propensity, balances the modes, or doses
real data.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import data, grids, rewards, theory
from curated_retraining.driver import History
from curated_retraining.types import Array, Reward
from experiments.compared import loops, ring
from experiments.gmm import RING
from experiments.plane.population import Population

PLAIN = {
    "trust": 1.0,  # the classifier's temperature
    "mode_bonus": 0.0,  # c of −c log P(mode)
    "point_bonus": 0.0,  # c of −c log p(x)
    "exponent": 0.0,  # of 1 / P(chosen)
    "balance": 0.0,  # 1: the modes get shares
    "liked_share": 1 / ring.MODES,  # namely this for the liked one, and the rest evenly
    "lam": float("inf"),  # #curated / #real
}


class Method(NamedTuple):
    """A mitigation at one strength: what it changes of `PLAIN`."""

    family: str
    strength: str
    changes: dict[str, float]


class Task(NamedTuple):
    """What all have in common."""

    classifier: Partial
    gamma: float
    bonus: float
    k: int
    temperature: float
    pool: int
    real: int

    def judged(self, trust: Array | float) -> Reward:
        """What annotators feel with a classifier at the temperature `trust`."""
        is_liked = cr.class_probability(rewards.tempered(self.classifier, trust), ring.LIKED, 1.0)
        near = cr.distance(data.ring_means()[ring.LIKED], RING.r_min, 1.0)
        return cr.combine([is_liked, near], jnp.array([self.bonus, self.gamma]))


def shares(liked: Array | float) -> Array:
    """`liked` for the liked mode and the rest evenly, `[modes]`."""
    return jnp.full(ring.MODES, (1 - liked) / (ring.MODES - 1)).at[ring.LIKED].set(liked)


def programs(task: Task, cells: Sequence[grids.Cell], num_seeds: int) -> tuple[Partial, Partial]:
    """`begin` and `advance` of all cells: numbers of `PLAIN` and a seed."""
    first, later = (cr.gmm(ring.MODES, steps=steps) for steps in (60, 10))
    log_prob = cast(Callable, later.log_prob)
    observe = ring.observed(ring.liking(task.gamma, task.bonus))

    def make(trust, mode_bonus, point_bonus, exponent, balance, liked_share, lam):
        reward = rewards.entropy_bonus(task.judged(trust), RING.label, ring.MODES, mode_bonus)
        choose = cr.inverse_propensity(task.k, cr.luce(task.temperature), exponent)
        step = cr.self_judged(
            later,
            lambda state, x: reward(x) - point_bonus * log_prob(state, x),
            curate=cr.quota(choose, RING.label, shares(liked_share), balance),
            mixing=cr.with_real(lam),
            pool_size=task.pool,
            metrics=observe,
        )
        return grids.Loop(lambda key: loops.start(first, task.real, key), step)

    return loops.programs(make, cells, num_seeds)


def exact(plane: Population, task: Task, cells: Sequence[grids.Cell], generations: int) -> History:
    """The population's courses, `[cells, generations + 1, ...]` a metric.

    NaN where unlikely points have a bonus: those loops spread beyond any grid of the real data.
    """
    spread = float(np.ptp(plane.reward)) + task.bonus
    reward_range = float(np.ceil(2 * spread / task.temperature))

    @jax.jit
    def of(plane, columns):
        def course(cell):
            judged = task.judged(cell["trust"])(plane.x)
            wanted = shares(cell["liked_share"])

            def ratio(p):
                share = theory.sums(plane.label, p, ring.MODES)
                rare = -jnp.log(jnp.maximum(share, jnp.finfo(p.dtype).tiny))[plane.label]
                r = jnp.where(cell["point_bonus"] > 0, jnp.nan, judged + cell["mode_bonus"] * rare)
                options = {"exponent": cell["exponent"], "temperature": task.temperature, "reward_range": reward_range}
                chosen = p * theory.propensity_ratio(p, r, task.k, **options)
                return theory.rebalance(chosen, plane.label, wanted, cell["balance"]) / jnp.where(p > 0, p, 1.0)

            def observe(p):
                return ring.moments(plane, p)

            return theory.course(ratio, plane.p_ref, lam=cell["lam"], num=generations, observe=observe)

        return jax.lax.map(course, columns)

    settings = [tuple(cell[name] for name in PLAIN) for cell in cells]
    apart = list(dict.fromkeys(settings))  # seeds of one setting share their course
    columns = dict(zip(PLAIN, jnp.array(apart, jnp.float32).T, strict=True))
    place = [apart.index(one) for one in settings]
    return {name: np.asarray(values)[place] for name, values in of(plane, columns).items()}
