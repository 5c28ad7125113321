"""The strategies: how a pool of one size is curated, and by how much that multiplies probabilities exactly.

A pool is judged in three columns: by those who like mode 0, by those who like the mode opposite, and by the model that
drew it. Points that are not kept stay as points of weight zero, so that all strategies are one program.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import theory
from curated_retraining.types import Array, Curator, Dataset, Reward, State, lift
from experiments.compared import ring

OPPOSITE = ring.MODES // 2


class Rule(NamedTuple):
    """One strategy; `ratio` is (p, rewards of both types `[2, s]`) -> `[s]`, NaN where it is not known."""

    name: str
    curate: Curator
    ratio: Callable[[Array, Array], Array]


def score(gamma: float, bonus: float, own: Callable[[State, Array], Array]) -> Partial:
    """The three columns, `(state, x) -> [n, 3]`; `own` is what the model says of its samples."""
    return Partial(_score, ring.liking(gamma, bonus), ring.liking(gamma, bonus, OPPOSITE), lift(own))


def rules(
    sizes: Sequence[int], k: int, *, temperature: float, crowd: float, least: float, reward_range: float
) -> list[Rule]:
    """Every strategy: K-wise for `sizes` and ∞, and those that keep about one in `k`.

    `crowd` is the share of annotators who like mode 0, `least` the threshold, `reward_range` static, of the rewards in
    temperatures.
    """
    options = {"temperature": temperature, "reward_range": reward_range}

    def k_way(size):
        return lambda p, r: theory.k_way_ratio(p, r[0], size, **options)

    def disagreeing(p, r):
        return theory.crowd_operator(r, jnp.array([crowd, 1 - crowd]), **options)(p, k)

    luce, kept = cr.luce(temperature), 1 / k
    return [
        Rule("no curation", _on(0, cr.everything()), lambda p, r: jnp.ones_like(p)),
        *(Rule(f"K = {size}", _on(0, cr.k_way(size, luce)), k_way(size)) for size in sizes),
        Rule("K = ∞", _on(0, cr.tilt(temperature)), k_way(jnp.inf)),
        Rule(
            f"best of {k}",
            _on(0, cr.k_way(k, cr.luce(0.0))),
            lambda p, r: theory.k_way_ratio(p, r[0], k, temperature=0.0),
        ),
        Rule(f"top 1/{k}", _on(0, cr.top_fraction(kept)), lambda p, r: theory.top_fraction_ratio(p, r[0], kept)),
        Rule("threshold", _on(0, cr.threshold(least)), lambda p, r: theory.threshold_ratio(p, r[0], least)),
        by_itself(f"likeliest 1/{k}", k),
        Rule(
            "crowd",
            _on(slice(0, 2), cr.k_way(k, cr.crowd((crowd, 1 - crowd), temperature))),
            disagreeing,
        ),
    ]


def by_itself(name: str, k: int) -> Rule:
    """Keeps one in `k` of the pool, those that the model that drew it finds best.

    Exactly that is `theory.top_fraction_ratio` of r = log p, which in a few generations leaves less than a cell of any
    grid: no course is drawn.
    """
    return Rule(name, _on(2, cr.top_fraction(1 / k)), lambda p, r: jnp.full_like(p, jnp.nan))


def _score(liked: Reward, opposite: Reward, own: Callable, state: State, x: Array) -> Array:
    return jnp.stack([liked(x), opposite(x), own(state, x)], axis=-1)


def _on(columns: int | slice, curate: Curator) -> Curator:
    def on_columns(key, pool, reward):
        x, weight = curate(key, pool, reward[:, columns])
        left = pool.shape[0] - x.shape[0]
        return Dataset(jnp.concatenate([x, pool[:left]]), jnp.pad(weight, (0, left)))

    return on_columns
