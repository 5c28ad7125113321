"""Kernel density estimates with a Gaussian kernel."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.data import draw, uniform
from curated_retraining.types import Array, Dataset, Model, PRNGKey, Static, continuous, require


def kde(bandwidth: float | Array, size: int = 4096) -> Model:
    """The mean of Gaussians of sd `bandwidth` > 0 (units of the data) round `size` points drawn from the training data.

    The state is those points, `[size, *event]`. Each generation adds `bandwidth`² to every variance: the loop diffuses
    as well as it curates.
    """
    require("bandwidth", bandwidth, lambda h: h > 0, "is not a standard deviation: take a positive number")
    if size < 1:
        raise ValueError(f"size={size} is not a number of points to keep: take 1 or more")
    return Model(
        init=Partial(_init, Static(size)),
        fit=_fit,
        sample=Partial(_sample, bandwidth),
        log_prob=Partial(_log_prob, bandwidth),
    )


def _init(size: Static, key: PRNGKey, x: Array) -> Array:
    return draw(key, uniform(continuous(x)), size.value)


def _fit(key: PRNGKey, points: Array, data: Dataset) -> Array:
    return draw(key, data, points.shape[0]).astype(points.dtype)


def _sample(bandwidth, key: PRNGKey, points: Array, num: int) -> Array:
    point_key, noise_key = jax.random.split(key)
    centres = draw(point_key, uniform(points), num)
    return centres + bandwidth * jax.random.normal(noise_key, centres.shape, centres.dtype)


def _log_prob(bandwidth, points, x):
    dimension = points[0].size

    def one(point):
        squared = jax.vmap(lambda centre: jnp.sum((centre - point) ** 2))(points)
        return jax.nn.logsumexp(-squared / (2 * bandwidth**2)) - jnp.log(points.shape[0])

    return jax.lax.map(one, x, batch_size=1024) - dimension * jnp.log(bandwidth * jnp.sqrt(2 * jnp.pi))
