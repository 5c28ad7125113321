"""Weighted points, and the toy distributions of the paper, two of them with their densities."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike

from curated_retraining.types import Array, Dataset, PRNGKey, State, floating, require

BATCH = "batch"  # the axis of a mesh over which rows are split


def uniform(x: Array) -> Dataset:
    """The points `x` `[n, *event]`, one or more, each with weight 1/n."""
    if x.shape[0] == 0:
        raise ValueError("a dataset needs at least one point")
    return Dataset(x, jnp.full(x.shape[:1], 1 / x.shape[0], float))


def union(parts: Sequence[Dataset], shares: Sequence[ArrayLike]) -> Dataset:
    """All the points of `parts`, the weights of part i times `shares[i]`; shares sum to one and may be traced.

    Raises:
        ValueError: where points of one part have another shape than those of another.
    """
    events = {part.x.shape[1:] for part in parts}
    if len(events) > 1:
        raise ValueError(
            f"points of shapes {sorted(events)} do not mix: let the sampler draw points like the real data"
        )
    x = jnp.concatenate([part.x for part in parts])
    weight = jnp.concatenate([share * part.weight for share, part in zip(shares, parts, strict=True)])
    return Dataset(x, weight)


def draw(key: PRNGKey, data: Dataset, num: int) -> Array:
    """`num` independent draws from the weighted points, `[num, *event]`; weights need not sum to one.

    Where weights are traced and no weights, the draws are NaN; those of integers cannot be, and are any rows.

    Raises:
        ValueError: where a weight is negative, NaN or infinite, or all are zero.
    """
    weight = floating(data.weight)
    require("weight", weight, _drawable, "cannot be drawn by: take finite numbers of at least 0, and one above")
    x = data.x[draw_index(key, cumulative(weight), num)]
    return jnp.where(_drawable(weight), x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x


def cumulative(weight: Array) -> Array:
    """Running sums of weights `[n]` that never fall and stand still on rows of weight zero, whatever the rounding."""
    return jax.lax.cummax(jnp.where(weight > 0, jnp.cumsum(floating(weight)), 0.0))


def draw_index(key: PRNGKey, sums: Array, num: int) -> Array:
    """`num` rows by the inverse of `cumulative` weights `[n]`; rows of weight zero are never drawn.

    Uniforms lie below one, so a draw scaled by the total stays strictly below it whatever the rounding.
    """
    position = jax.random.uniform(key, (num,), sums.dtype) * sums[-1]
    return jnp.searchsorted(sums, position, side="right")


def spread(x: State) -> State:
    """The rows of arrays `[n, ...]` split over the axis `batch` of the mesh of devices in whose context this is traced.

    What a fit draws and what a model samples: see `models.wrappers.sharded`. Without such a mesh they stay as they are.

    Raises:
        ValueError: where the rows do not split.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if BATCH not in mesh.axis_names:
        return x
    num, devices = jax.tree.leaves(x)[0].shape[0], mesh.shape[BATCH]
    if num % devices:
        raise ValueError(
            f"{num} rows do not split over {devices} devices: take a batch size, and a pool or a size of its batches, "
            f"that are multiples of {devices}"
        )
    return jax.lax.with_sharding_constraint(x, PartitionSpec(BATCH))


def ring_means(modes: int = 8, radius: float = 2.0) -> Array:
    """The centres of `ring`, `[modes, 2]`; mode 0 lies at `(radius, 0)`."""
    require("modes", modes, lambda m: m >= 1, "is not a number of modes: take 1 or more")
    angle = 2 * jnp.pi * jnp.arange(modes) / modes
    return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def ring(key: PRNGKey, n: int, modes: int = 8, radius: float = 2.0, sd: float = 0.3) -> Dataset:
    """`n` points `[n, 2]` of an even mixture of `modes` ≥ 1 round Gaussians of `sd` > 0 on a circle."""
    require("sd", sd, lambda s: s > 0, "is not a standard deviation: take a positive number")
    mode_key, noise_key = jax.random.split(key)
    mean = ring_means(modes, radius)[jax.random.randint(mode_key, (n,), 0, modes)]
    return uniform(mean + sd * jax.random.normal(noise_key, (n, 2)))


def ring_log_density(x: Array, modes: int = 8, radius: float = 2.0, sd: float = 0.3) -> Array:
    """Log-density of `ring` at `x` `[n, 2]`: `[n]`, in nats."""
    return _mixture(x, ring_means(modes, radius), jnp.full(modes, 1 / modes), sd)


def moon_arcs(position: Array) -> Array:
    """The two half circles at `position` `[n]` in [0, 1]: `[2, n, 2]`; the upper moon first, the lower second."""
    angle = jnp.pi * position
    upper = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    lower = jnp.stack([1 - jnp.cos(angle), 0.5 - jnp.sin(angle)], axis=-1)
    return jnp.stack([upper, lower])


def moons(key: PRNGKey, n: int, noise: float = 0.1) -> Dataset:
    """`n` points `[n, 2]` of two interleaved half circles of radius 1 with Gaussian noise of sd `noise` > 0."""
    require("noise", noise, lambda s: s > 0, "is not a standard deviation: take a positive number")
    moon_key, position_key, noise_key = jax.random.split(key, 3)
    arcs = moon_arcs(jax.random.uniform(position_key, (n,)))
    mean = arcs[jax.random.randint(moon_key, (n,), 0, 2), jnp.arange(n)]
    return uniform(mean + noise * jax.random.normal(noise_key, (n, 2)))


def nearest_moon(x: Array, nodes: int = 256) -> Array:
    """Which arc each of `x` `[n, 2]` lies nearest to: 0 is the upper moon, 1 the lower, −1 neither, as in `nearest`."""
    arcs = moon_arcs(jnp.linspace(0, 1, nodes)).reshape(-1, 2)
    return nearest(x, arcs) // nodes


def nearest_mode(x: Array, modes: int = 8, radius: float = 2.0) -> Array:
    """Which centre of `ring` each of `x` `[n, 2]` lies nearest to, in 0..modes−1; −1 as in `nearest`."""
    return nearest(x, ring_means(modes, radius))


def nearest(x: Array, rows: Array) -> Array:
    """Which of `rows` `[r, *event]` is nearest each of `x` `[n, *event]`; −1 where NaN or overflow leaves none.

    By differences of floats: a copy of a row is at distance exactly zero. Integers are exact below 2^24 in float32.
    """
    rows = floating(rows)

    def one(point):
        squared = _squared_distances(point, rows)
        row = jnp.argmin(squared)  # NaN is the least
        return jnp.where(jnp.isfinite(squared[row]), row, -1)

    return jax.lax.map(one, floating(x), batch_size=4096)


def moons_log_density(x: Array, noise: float = 0.1, nodes: int = 256) -> Array:
    """Log-density of `moons` at `x` `[n, 2]`, the arcs integrated by the Gauss-Legendre rule of `nodes` points.

    Accurate to 1e-4 nats within 5 `noise` of an arc for `noise` of 0.02 or more.
    """
    node, share = np.polynomial.legendre.leggauss(nodes)
    arcs = moon_arcs(jnp.asarray((node + 1) / 2)).reshape(-1, 2)
    return _mixture(x, arcs, jnp.asarray(np.tile(share, 2) / 4), noise)


def checkerboard(key: PRNGKey, n: int, cells: int = 4) -> Dataset:
    """`n` points `[n, 2]`, uniform on the dark cells of a `cells` × `cells` board over [−2, 2]², edges included."""
    if cells < 2 or cells % 2:
        raise ValueError(f"cells={cells} gives no checkerboard: take an even number of cells, 2 or more")
    column_key, row_key, offset_key = jax.random.split(key, 3)
    column = jax.random.randint(column_key, (n,), 0, cells)
    row = 2 * jax.random.randint(row_key, (n,), 0, cells // 2) + column % 2
    corner = jnp.stack([column, row], axis=-1).astype(float)
    return uniform((corner + jax.random.uniform(offset_key, (n, 2))) * (4 / cells) - 2)


def _drawable(weight):
    total = weight.sum()
    return (weight >= 0).all() & (total > 0) & (total < np.inf)


def _squared_distances(point: Array, centres: Array) -> Array:
    return jax.vmap(lambda centre: jnp.sum((point - centre) ** 2))(centres)


def _mixture(x: Array, means: Array, share: Array, sd: float) -> Array:
    def at(point):
        log_normal = -_squared_distances(point, means) / (2 * sd**2) - means.shape[-1] * jnp.log(
            sd * jnp.sqrt(2 * jnp.pi)
        )
        return jax.nn.logsumexp(log_normal, b=share)

    return jax.lax.map(at, x, batch_size=4096)
