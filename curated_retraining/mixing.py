"""Mixing: what a refit sees of real and curated points, and what is remembered for later.

λ = #curated / #real in [0, ∞]; the curated share of the training weight is η = 1 / (1 + 1/λ), which is right at both
λ = 0 (real data only) and λ = ∞ (curated data only, the pure loop).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.data import cumulative, draw_index, union
from curated_retraining.types import Array, Dataset, Mixing, PRNGKey, Static, lift, require


def replace() -> Mixing:
    """Trains on the curated points alone and forgets the rest: the pure loop, λ = ∞."""
    return Mixing(lift(_nothing), lift(_replace))


def with_real(lam: float | Array) -> Mixing:
    """Trains on all real data of generation 0 together with the curated points, λ = #curated / #real.

    λ acts on the weights, (1 − η) real + η curated with η = λ / (1 + λ), whatever the numbers of points: it is data,
    may be `jnp.inf` and may be traced and vmapped (the paper's eq. 8).
    """
    _require_lam(lam)
    return Mixing(lift(_the_real), Partial(_with_real, lam))


def fresh(sampler: Callable[[PRNGKey], Dataset], lam: float | Array) -> Mixing:
    """Trains on new real data in each generation, `sampler(key)`, with the curated points, λ = #curated / #real."""
    _require_lam(lam)
    return Mixing(lift(_nothing), Partial(_fresh, lift(sampler), lam))


def accumulate(generations: int) -> Mixing:
    """Trains on the real data and all curated points so far, each point counting the same (Gerstgrasser et al. 2024).

    λ is not an argument: #curated grows by one slot a generation. The memory holds `generations` ≥ 1 slots, of the real
    data's dtype; one beyond it makes the weights, hence `effective_size`, NaN, which the driver refuses.

    Raises:
        ValueError: when traced, where curated points are of another number or dtype than the memory has room for.
    """
    return Mixing(Partial(_accumulator, Static(_capacity(generations))), lift(_accumulate))


def accumulate_subsample(generations: int, size: int) -> Mixing:
    """Trains on `size` ≥ 1 independent draws from what `accumulate` would train on (Kazdan et al. 2024)."""
    if size < 1:
        raise ValueError(f"size={size} is not a number of points to draw: take 1 or more")
    return Mixing(accumulate(generations).init, Partial(_accumulate_subsample, Static(size)))


def accumulate_moments() -> Mixing:
    """What `accumulate` trains on as a model sees it that looks at mean and covariance alone, such as `gaussian`.

    All points so far, `[n, d]`, are remembered as 2 d points of the same mean and covariance: exact up to rounding
    (1e-7 of both a generation in float32), for any number of generations, at the cost of one slot each.
    """
    return Mixing(lift(_summary), lift(_accumulate_moments))


class _Summary(NamedTuple):
    past: Dataset  # [2 d, d]
    num: Array  # [] float, the points that it stands for


class _Accumulated(NamedTuple):
    real: Dataset
    past: Dataset  # [generations, slot, *event]: the weights of each filled slot sum to one
    filled: Array  # [] int32


def _require_lam(lam):
    require("lam", lam, lambda v: v >= 0, "is not a ratio #curated / #real: take a number of at least 0, or inf")


def _capacity(generations):
    if generations < 1:
        raise ValueError(f"generations={generations} leaves no room to accumulate: take 1 or more")
    return generations


def _share(lam: float | Array) -> Array:
    return 1 / (1 + 1 / jnp.asarray(lam, float))


def _nothing(real, slot):
    del real, slot
    return ()


def _replace(key, memory, curated):
    del key
    return curated, memory


def _the_real(real, slot):
    del slot
    return real


def _with_real(lam, key, real, curated):
    del key
    share = _share(lam)
    return union([real, curated], [1 - share, share]), real


def _fresh(sampler, lam, key, memory, curated):
    train, _ = _with_real(lam, None, sampler(key), curated)
    return train, memory


def _accumulator(generations: Static, real, slot):
    shape = (generations.value, slot)
    past = Dataset(jnp.zeros(shape + real.x.shape[1:], real.x.dtype), jnp.zeros(shape, real.weight.dtype))
    return _Accumulated(real, past, jnp.zeros((), int))


def _accumulate(key, memory: _Accumulated, curated: Dataset):
    del key
    generations, slot = memory.past.weight.shape
    if curated.weight.shape != (slot,):
        raise ValueError(f"a generation adds {curated.weight.shape[0]} curated points, but start was told slot={slot}")
    if curated.x.dtype != memory.past.x.dtype:
        raise ValueError(
            f"curated points of {curated.x.dtype} do not fit the memory's {memory.past.x.dtype}, the dtype of the real "
            f"data: give real data of {curated.x.dtype}"
        )
    past = jax.tree.map(lambda store, new: store.at[memory.filled].set(new), memory.past, curated)
    filled = memory.filled + 1
    num_past, num_real = filled * slot, memory.real.x.shape[0]
    share = jnp.where(filled > generations, jnp.nan, num_past / (num_past + num_real))
    flat = Dataset(past.x.reshape(-1, *curated.x.shape[1:]), past.weight.reshape(-1) / filled)
    return union([memory.real, flat], [1 - share, share]), _Accumulated(memory.real, past, filled)


def _accumulate_subsample(size: Static, key, memory, curated):
    everything, memory = _accumulate(None, memory, curated)
    index = draw_index(key, cumulative(everything.weight), size.value)
    # NaN beyond the memory stays NaN
    weight = jnp.full(size.value, 1 / size.value, float) + 0 * everything.weight.sum()
    return Dataset(everything.x[index], weight), memory


def _summary(real: Dataset, slot: int) -> _Summary:
    del slot
    if real.x.ndim != 2:
        raise ValueError(f"points of shape {real.x.shape[1:]} have no mean and covariance here: take vectors `[n, d]`")
    return _Summary(_like(real), jnp.asarray(real.x.shape[0], float))


def _accumulate_moments(key, memory: _Summary, curated: Dataset):
    del key
    num = memory.num + curated.x.shape[0]
    share = memory.num / num
    train = union([memory.past, curated], [share, 1 - share])
    return train, _Summary(_like(train), num)


def _like(data: Dataset) -> Dataset:
    """2 d points with the mean and covariance of `data`: both ways from the mean along the covariance's square root."""
    d = data.x.shape[1]
    mean = data.weight @ data.x
    centred = data.x - mean[None]
    value, vector = jnp.linalg.eigh(centred.T @ (data.weight[:, None] * centred))
    away = jnp.sqrt(d * jnp.maximum(value, 0))[:, None] * vector.T  # rounding makes some that are zero negative
    return Dataset(jnp.concatenate([mean[None] + away, mean[None] - away]), jnp.full(2 * d, 1 / (2 * d), away.dtype))
