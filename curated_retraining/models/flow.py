"""A coupling flow of rational-quadratic splines: samples and an exact density in one pass (Durkan et al. 2019)."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from curated_retraining.models.trained import of_floats, trained
from curated_retraining.networks.mlp import MLP
from curated_retraining.types import Array, Model, State, floating

_LEAST = 1e-3  # the least slope at a knot and the least share of a bin, as in the source


def flow(*, layers: int = 6, bins: int = 8, width: int = 64, depth: int = 2, bound: float = 5.0, **training) -> Model:
    """A normalizing flow from a standard normal, trained by maximum likelihood on weighted vectors `[n, d]`.

    Args:
        layers: 2 or more; each moves half of the coordinates by splines that the other half sets; then the halves swap.
        bins: pieces of a spline, 2 to 999.
        width: of the perceptron from one half to the splines of the other.
        depth: of that perceptron, in hidden residual layers.
        bound: a spline acts on (−bound, bound) and is the identity outside: `standardised` data lie well within 5.
        training: what `trained` takes: `steps`, `batch_size`, `learning_rate`, `ema`, ...

    It starts as the identity. `log_prob` is the density of what `sample` draws, up to rounding.
    """
    if layers < 2:
        raise ValueError(f"layers={layers} leaves half of the coordinates where they are: take 2 or more")
    if not 2 <= bins < 1 / _LEAST:
        raise ValueError(f"bins={bins} is not a number of pieces: take 2 or more, fewer than {1 / _LEAST:.0f}")
    if width < 1 or depth < 0:
        raise ValueError(f"width={width}, depth={depth}: take a width of 1 or more and a depth of 0 or more")
    if not 0 < bound < jnp.inf:
        raise ValueError(f"bound={bound} is not the half-width of a spline: take a positive number")

    def network(dimension):
        return MLP((dimension - dimension // 2) * (3 * bins - 1), width, depth)

    def init_params(key, x):
        if x.ndim != 2 or x.shape[1] < 1:
            raise ValueError(f"a flow takes vectors, [n, d] with d of 1 or more, not points of shape {x.shape[1:]}")
        given = _or_one(x[:1, : x.shape[1] // 2])
        return jax.vmap(lambda key: network(x.shape[1]).init(key, given))(jax.random.split(key, layers))

    def log_density(params, x):
        z, log_volume = _to_noise(network(x.shape[1]), bound, params, x)
        return jax.scipy.stats.norm.logpdf(z).sum(axis=1) + log_volume

    def loss(key, params, x):
        del key
        return -log_density(params, x).mean()

    def sample(key, state, num):
        noise = jax.random.normal(key, (num, *state.event.shape), state.event.dtype)
        return _to_data(network(noise.shape[1]), bound, state.average, noise)

    def log_prob(state, x):
        return log_density(state.average, floating(x))

    init, fit = of_floats(trained(init_params, loss, **training))
    return Model(init, fit, sample, log_prob)


def _to_noise(network: nn.Module, bound: float, params: State, x: Array) -> tuple[Array, Array]:
    """Data `[n, d]` to noise, and the log of the volume change `[n]`; `params` are stacked over the layers."""

    def layer(state, params):
        x, log_volume = state
        given, moved = jnp.split(x, [x.shape[1] // 2], axis=1)
        moved, log_slope = _each(_spline, network, bound, params, given, moved)
        return (jnp.concatenate([moved, given], axis=1), log_volume + log_slope.sum(axis=1)), None

    return jax.lax.scan(layer, (x, jnp.zeros(x.shape[0], x.dtype)), params)[0]


def _to_data(network: nn.Module, bound: float, params: State, z: Array) -> Array:
    """The inverse of `_to_noise`."""

    def layer(z, params):
        moved, given = jnp.split(z, [z.shape[1] - z.shape[1] // 2], axis=1)
        return jnp.concatenate([given, _each(_inverse, network, bound, params, given, moved)], axis=1), None

    return jax.lax.scan(layer, z, params, reverse=True)[0]


def _each(spline, network, bound, params, given, moved):
    raw = network.apply(params, _or_one(given)).reshape(*moved.shape, -1)
    return jax.vmap(jax.vmap(partial(spline, bound)))(raw, moved)


def _or_one(given):
    """What the perceptron sees: in one dimension no coordinate is given, so a constant."""
    return given if given.shape[1] else jnp.ones((given.shape[0], 1), given.dtype)


def _spline(bound: float, raw: Array, x: Array) -> tuple[Array, Array]:
    """The spline of `raw` `[3 bins − 1]` at `x` `[]`, and the log of its slope there (eq. 4 and 5)."""
    inside = jnp.clip(x, -bound, bound)
    left, bottom, width, height, before, after = _bin(bound, raw, inside, axis=0)
    steep = height / width
    share = (inside - left) / width
    both = share * (1 - share)
    divisor = steep + (before + after - 2 * steep) * both
    y = bottom + height * (steep * share**2 + before * both) / divisor
    slope = steep**2 * (after * share**2 + 2 * steep * both + before * (1 - share) ** 2) / divisor**2
    acts = jnp.abs(x) < bound
    return jnp.where(acts, y, x), jnp.where(acts, jnp.log(slope), 0.0)


def _inverse(bound: float, raw: Array, y: Array) -> Array:
    """The `x` that `_spline` takes to `y` `[]`: the root of a quadratic, without cancellation (eq. 6 to 8)."""
    inside = jnp.clip(y, -bound, bound)
    left, bottom, width, height, before, after = _bin(bound, raw, inside, axis=1)
    steep = height / width
    rise = inside - bottom
    bend = rise * (before + after - 2 * steep)
    a, b, c = height * (steep - before) + bend, height * before - bend, -steep * rise
    root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0))  # below zero by rounding alone
    share = -2 * c / (b + root)
    return jnp.where(jnp.abs(y) < bound, left + width * share, y)


def _bin(bound: float, raw: Array, value: Array, axis: int) -> Array:
    """Left, bottom, width, height, and slopes before and after, of the bin that holds `value` along `axis`: `[6]`."""
    bins = (raw.size + 1) // 3
    size = 2 * bound * (_LEAST + (1 - bins * _LEAST) * jax.nn.softmax(raw[: 2 * bins].reshape(2, bins)))
    edge = jnp.cumsum(size, axis=1) - size - bound
    inner = _LEAST + jax.nn.softplus(raw[2 * bins :] + jnp.log(jnp.expm1(1 - _LEAST)))  # 1 where raw is 0
    slope = jnp.pad(inner, 1, constant_values=1.0)
    table = jnp.concatenate([edge, size, slope[None, :-1], slope[None, 1:]])
    return table[:, jnp.sum(value >= edge[axis, 1:])]
