"""The exact phase map: the limit of every cell and how soon its modes collapse, as one program.

λ = #curated / #real. A cell is one loop from p_0 = p_ref with K, λ and the sharpness γ / τ of its choices; cells of one
sharpness share the tables of the operator.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app
from jax.tree_util import Partial

from curated_retraining import metrics, theory
from curated_retraining.types import Array, Static
from experiments.phase.levels import Levels

NUMBER = 4  # bytes
Found = dict[str, np.ndarray]  # a number a cell, by name


class Cells(NamedTuple):
    """The settings of the cells of a map, each of the shape of the map; λ is finite, K any real ≥ 1."""

    lam: np.ndarray
    k: np.ndarray
    gamma: np.ndarray
    temperature: np.ndarray  # all zero (best-of-K), or none

    def by_sharpness(self) -> tuple[np.ndarray, np.ndarray]:
        """The values of γ / τ (γ at τ = 0), `[a]`, and the places in the map, counted by rows, of the cells of each."""
        sharpness = (self.gamma / np.where(self.temperature > 0, self.temperature, 1.0)).ravel()
        values = np.unique(sharpness)
        return values, np.argsort(sharpness, kind="stable").reshape(len(values), -1)


class Plan(NamedTuple):
    """How the cells of a map are computed, and the bytes that this is reckoned to take."""

    reward_range: float  # static, of rewards in temperatures
    batch: int  # cells of one sharpness computed side by side
    tables: int  # bytes
    states: int  # bytes, of a batch
    results: int  # bytes, of all cells

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.tables + self.states + self.results


def plan(levels: Levels, cells: Cells, *, horizon: int, memory: int) -> Plan:
    """The largest batch that divides the cells of a sharpness and is reckoned to stay within `memory` bytes.

    Raises:
        app.UsageError: where not even one cell fits.
    """
    values, place = cells.by_sharpness()
    sharpest = 0.0 if cells.temperature.min() == 0 else values.max()
    reward_range = math.ceil(min(float(sharpest * np.ptp(levels.reward)), 1e12)) + 1.0  # no memory holds more
    points, nodes = len(levels.p_ref), 2 * (24 + reward_range)
    tables = int(2 * 3 * nodes * points * NUMBER)  # `theory.k_way_operator`'s, for the limit and for the course
    state = int((4 * points + 6 * nodes + 4 * (horizon + 1)) * NUMBER)  # p, p H, the node's integrals; the course
    results = 15 * place.size * NUMBER  # in and out
    fits = (memory - tables - results) // state
    if fits < 1:
        raise app.UsageError(
            f"--memory={memory // 2**20} (MiB) is less than the {(tables + state + results) / 2**20:.0f} that one cell "
            f"takes where rewards range over {reward_range:.0f} temperatures: raise it, lower --gamma or raise "
            "--temperature"
        )
    sizes = range(1, place.shape[1] + 1)
    batch = max(size for size in sizes if place.shape[1] % size == 0 and size <= fits)
    return Plan(reward_range, batch, tables, batch * state, results)


def program(
    levels: Levels, cells: Cells, how: Plan, *, horizon: int, window: tuple[int, int] = (0, 1), max_steps: int = 10_000
) -> Partial:
    """() -> numbers by name, `[a, b]` in the order of `by_sharpness`; a pytree whose arrays are inputs.

    They are those of `of_limit` for the limit, and under `course_` and the name their means over the generations from
    `window[0]` to `window[1] − 1`; `collapse` is `first_below_half` of generations 0 to `horizon`.
    """
    sharpness, place = cells.by_sharpness()
    arrays = (sharpness, cells.k.ravel()[place], cells.lam.ravel()[place])
    settings = Static((how.reward_range, bool(cells.temperature.min() == 0), how.batch, horizon, window, max_steps))
    return Partial(_map, settings, levels, *(jnp.asarray(values, jnp.float32) for values in arrays))


def unsorted(found: Mapping[str, Array], cells: Cells) -> Found:
    """What a program found, in the shape of the map."""
    _, place = cells.by_sharpness()
    back = np.argsort(place, axis=None)
    return {name: np.asarray(values).ravel()[back].reshape(cells.k.shape) for name, values in found.items()}


def bytes_of(compiled: Any) -> int | None:
    """What XLA sets aside for a compiled program, arguments and results included; None where it does not say."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    return found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes


def of_limit(levels: Levels, p: Array) -> dict[str, Array]:
    """What the maps show of a distribution `[s]`; all of it is NaN where `p` is.

    `reward` (E_p[r] − E_ref[r]) / sd_ref[r], which is the same for every γ; `entropy` of the modes' shares in nats;
    `kl` KL(p ‖ p_ref) in nats; `minority`, the smallest mode's share.
    """
    mean, sd = moments(levels)
    share = levels.share(p)
    return {
        "reward": (p @ levels.reward - mean) / sd,
        "entropy": metrics.entropy(share),
        "kl": jax.scipy.special.xlogy(p, p / levels.p_ref).sum(),
        "minority": share.min(),
    }


def moments(levels: Levels) -> tuple[Array, Array]:
    """Mean and standard deviation of the real data's reward at γ = 1."""
    mean = levels.p_ref @ levels.reward
    return mean, jnp.sqrt(levels.p_ref @ (levels.reward - mean) ** 2)


def first_below_half(entropy: Array) -> Array:
    """The first generation whose `entropy` `[generations]` is below half of generation 0's; NaN where none is."""
    below = entropy < entropy[0] / 2
    return jnp.where(below.any(), jnp.argmax(below), jnp.nan)


def _map(settings: Static, levels: Levels, sharpness: Array, k: Array, lam: Array) -> dict[str, Array]:
    reward_range, best, batch, horizon, window, max_steps = settings.value

    def of_reward(args):
        reward = args[0] * levels.reward

        def of_cell(cell):
            loop: dict = {"k": cell[0], "lam": cell[1], "temperature": float(not best), "reward_range": reward_range}
            limit = theory.mixed_limit(levels.p_ref, reward, max_steps=max_steps, **loop)
            course = theory.trajectory(levels.p_ref, reward, num=horizon, observe=lambda p: of_limit(levels, p), **loop)
            means = {f"course_{name}": values[slice(*window)].mean() for name, values in course.items()}
            return of_limit(levels, limit) | means | {"collapse": first_below_half(course["entropy"])}

        return jax.lax.map(of_cell, args[1:], batch_size=batch)

    return jax.lax.map(of_reward, (sharpness, k, lam))
