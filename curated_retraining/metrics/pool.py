"""What a pool is worth: moments of its reward, shares of its labels, divergences from real points."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.types import (
    Array,
    Generation,
    Metrics,
    Model,
    Static,
    floating,
    lift,
    lift_all,
    of_classes,
    of_points,
    require,
)


def join(*metrics: Metrics) -> Metrics:
    """All the numbers of several metrics; two of the same name are a `ValueError` when traced."""
    return Partial(_join, tuple(lift(metric) for metric in metrics))


def reward_moments() -> Metrics:
    """`reward_mean` E[r], `exp_reward_mean` E[e^r] and `exp_reward_var` Var[e^r] of the pool."""
    return lift(_reward_moments)


def reward_quantiles(levels: Sequence[float] = (0.05, 0.5, 0.95)) -> Metrics:
    """`reward_q5`, ...: the rewards below which the given shares of the pool, in [0, 1], lie."""
    require(
        "levels", levels, lambda q: (q >= 0) & (q <= 1), "are not shares: take numbers in [0, 1], such as 0.05 for 5 %"
    )
    return Partial(_reward_quantiles, Static(tuple(levels)))


def top_mass(least: float | Array) -> Metrics:
    """`top_mass`: the share of the pool whose reward is at least `least` = r_* − ε."""
    return Partial(_top_mass, least)


def proportions(label: Callable[[Array], Array], num: int) -> Metrics:
    """`share` `[num]`, how much of the pool has each label, and `entropy` of these shares in nats.

    `label` maps `[n, *event]` to integers `[n]`; those outside 0..num−1 count for no class, and the entropy is that of
    the shares among the classes.
    """
    return Partial(_proportions, lift(label), Static(num))


def kl_on_grid(model: Model, grid: Array, cell: float | Array, reference: Callable[[Array], Array]) -> Metrics:
    """`kl` KL(model ‖ reference) in nats by summing over `grid` `[g, *event]` whose points stand for `cell` each.

    For models with a density; `reference` is a log-density. `grid_mass` is the model's mass on the grid: what it lacks
    of one is out of sight.
    """
    if model.log_prob is None:
        raise ValueError("this model has no log_prob: take kl_to_sample")
    return Partial(_kl_on_grid, lift_all(model).log_prob, grid, cell, lift(reference))


def kl_to_sample(reference: Array, neighbour: int = 5, points: int | None = None) -> Metrics:
    """`kl` KL(pool ‖ reference) in nats, estimated from `reference` samples `[m, *event]` by k-th neighbours.

    The estimator of Wang, Kulkarni, Verdú (2009), with `neighbour` ≥ 1 for k, on the first `points` of the pool (all by
    default), more than k of them, and k ≤ m; its cost is their number times (their number + m). Points that coincide
    make it infinite.
    """
    if not 1 <= neighbour <= reference.shape[0]:
        raise ValueError(f"neighbour={neighbour} is not a rank: take 1 to {reference.shape[0]}, the reference's points")
    return Partial(_kl_to_sample, reference, Static((neighbour, points)))


def mmd(reference: Array, bandwidth: float | Array) -> Metrics:
    """`mmd`: unbiased squared maximum mean discrepancy of pool and `reference` (Gretton et al. 2012, lemma 6).

    The kernel is Gaussian, of sd `bandwidth` > 0 in the units of the data; `reference` is `[m, *event]`; m, and the
    number of points of the pool, are at least 2.
    """
    require("bandwidth", bandwidth, lambda sd: (sd > 0) & (sd < jnp.inf), "is not an sd: take a positive finite number")
    _require_pair("reference", reference)
    return Partial(_mmd, reference, bandwidth)


def snapshot(num: int) -> Metrics:
    """`pool`: the first `num` points of the pool, for figures."""
    return Partial(_snapshot, Static(num))


def effective_size(weight: Array) -> Array:
    """1 / Σ w² of weights that sum to one: how many even points they are worth."""
    return 1 / jnp.sum(weight**2)


def entropy(share: Array) -> Array:
    """−Σ p log p in nats; zero shares count nothing."""
    return -jnp.sum(jax.scipy.special.xlogy(share, share))


def _join(metrics, record: Generation):
    joined = {}
    for metric in metrics:
        report = metric(record)
        if same := joined.keys() & report.keys():
            raise ValueError(f"two metrics report {sorted(same)}: rename one")
        joined |= report
    return joined


def _reward_moments(record):
    exponential = jnp.exp(record.reward)
    return {
        "reward_mean": record.reward.mean(axis=0),
        "exp_reward_mean": exponential.mean(axis=0),
        "exp_reward_var": exponential.var(axis=0),
    }


def _reward_quantiles(levels: Static, record):
    values = jnp.quantile(record.reward, jnp.array(levels.value), axis=0)
    return {f"reward_q{100 * level:g}": value for level, value in zip(levels.value, values, strict=True)}


def _top_mass(least, record):
    return {"top_mass": jnp.mean(record.reward >= least, axis=0)}


def _proportions(label, num: Static, record):
    share = of_classes(label, record.pool, num.value).mean(axis=0)
    return {"share": share, "entropy": entropy(share / share.sum())}


def _kl_on_grid(log_prob, grid, cell, reference, record):
    log_p = of_points("log_prob", log_prob(record.model, grid), grid.shape[0])
    log_q = of_points("the reference", reference(grid), grid.shape[0])
    mass = jnp.exp(log_p) * cell
    return {"kl": jnp.sum(mass * jnp.where(mass > 0, log_p - log_q, 0.0)), "grid_mass": mass.sum()}


def _kl_to_sample(reference, settings: Static, record):
    k, points = settings.value
    pool = _flat(record.pool)[:points]
    n, dimension = pool.shape
    if n <= k:
        raise ValueError(f"neighbour={k} needs more than {n} points of the pool: take a smaller rank or more points")
    other = _flat(reference)

    def log_ratio(point):
        own = _smallest(_squared_distances(point, pool), k + 1)  # the nearest of all is the point itself
        return 0.5 * jnp.log(_smallest(_squared_distances(point, other), k) / own)

    mean = jax.lax.map(log_ratio, pool, batch_size=64).mean()
    return {"kl": dimension * mean + jnp.log(other.shape[0] / (n - 1))}


def _mmd(reference, bandwidth, record):
    _require_pair("pool", record.pool)
    pool, other = _flat(record.pool), _flat(reference)

    def kernel_sum(x, y):
        def one(point):
            return jnp.exp(-_squared_distances(point, y) / (2 * bandwidth**2)).sum()

        return jax.lax.map(one, x, batch_size=256).sum()

    def within(x):
        n = x.shape[0]
        return (kernel_sum(x, x) - n) / float(n * (n - 1))

    between = kernel_sum(pool, other) / float(pool.shape[0] * other.shape[0])
    return {"mmd": within(pool) + within(other) - 2 * between}


def _require_pair(name: str, points: Array) -> None:
    if points.shape[0] < 2:
        raise ValueError(f"{name} of shape {points.shape} has no two points to compare: give two or more")


def _snapshot(num: Static, record):
    if num.value > record.pool.shape[0]:
        raise ValueError(f"a snapshot of {num.value} points needs a larger pool than {record.pool.shape[0]}")
    return {"pool": record.pool[: num.value]}


def _smallest(values: Array, k: int) -> Array:
    """The k-th smallest, by k searches: for few neighbours cheaper than to sort."""

    def remove(_, values):
        return values.at[jnp.argmin(values)].set(jnp.inf)

    return jax.lax.fori_loop(0, k - 1, remove, values).min()


def _flat(x):
    """Vectors of floats: differences of integers may wrap."""
    return floating(x).reshape(x.shape[0], -1)


def _squared_distances(point, points):
    return jax.vmap(lambda other: jnp.sum((point - other) ** 2))(points)
