"""Gaussian mixtures with full covariances, fitted by expectation maximisation on weighted points."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.data import cumulative, draw, draw_index, uniform
from curated_retraining.types import Array, Dataset, Model, PRNGKey, Static, continuous


class Mixture(NamedTuple):
    """Weights, means and covariances of `k` Gaussians in `d` dimensions."""

    weight: Array  # [k], sums to one
    mean: Array  # [k, d]
    chol: Array  # [k, d, d], lower Cholesky factors of the covariances


def gmm(components: int, steps: int = 20, ridge: float = 1e-4) -> Model:
    """Mixtures of `components` Gaussians on `[n, d]`, fitted by `steps` of EM from where the last fit ended.

    `ridge` > 0 is added to the diagonal of each covariance (squared units of the data). Starts from k-means++ seeds
    (Arthur, Vassilvitskii 2007), each the best of eight. A component that has lost all its points keeps its place with
    weight zero. The state and samples are of the dtype of the example points, float32 at least.
    """
    if components < 1 or steps < 1:
        raise ValueError(f"components={components}, steps={steps}: a mixture needs 1 or more of each")
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} does not keep a covariance invertible: take a positive number")
    return Model(
        init=Partial(_init, Static(components), ridge),
        fit=Partial(_fit, Static(steps), ridge),
        sample=_sample,
        log_prob=_log_prob,
    )


def gaussian(ridge: float = 1e-6) -> Model:
    """One Gaussian with a full covariance, by its exact weighted maximum-likelihood fit."""
    return gmm(components=1, steps=1, ridge=ridge)


def _init(components: Static, ridge, key: PRNGKey, x: Array) -> Mixture:
    x = continuous(x)
    k, d = components.value, x.shape[1]
    first_key, later_key = jax.random.split(key)
    first = draw(first_key, uniform(x), 1)[0]

    def seed(squared, key):
        """Greedy k-means++: of eight points drawn by squared distance, the one that leaves the least."""
        index = draw_index(key, cumulative(squared), 8)
        left = jax.vmap(lambda i: jnp.minimum(squared, _squared_distance(x, x[i])))(index)
        best = jnp.argmin(left.sum(axis=-1))
        return left[best], x[index[best]]

    squared, later = jax.lax.scan(seed, _squared_distance(x, first), jax.random.split(later_key, k)[1:])
    spread = jnp.sqrt(squared.mean() / d + ridge)
    chol = jnp.broadcast_to(spread * jnp.eye(d, dtype=x.dtype), (k, d, d))
    return Mixture(jnp.full(k, 1 / k, x.dtype), jnp.concatenate([first[None], later]), chol)


def _squared_distance(x, point):
    return jax.vmap(lambda row: jnp.sum((row - point) ** 2))(x)


def _fit(steps: Static, ridge, key, state: Mixture, data: Dataset) -> Mixture:
    del key
    dtype = state.mean.dtype
    x, weight = continuous(data.x).T.astype(dtype), data.weight.astype(dtype)

    def step(state, _):
        share = jax.nn.softmax(_joint(state, x), axis=0) * weight[None]
        return _maximise(state, share, x, ridge), None

    return jax.lax.scan(step, state, length=steps.value)[0]


def _maximise(state: Mixture, share: Array, x: Array, ridge) -> Mixture:
    """The mixture that is most likely where `share` `[k, n]` of `x` `[d, n]` belongs to each component."""
    mass = share.sum(axis=1)
    alive = mass > 0
    of_mass = share / jnp.where(alive, mass, 1.0)[:, None]
    mean = of_mass @ x.T
    centred = _centred(x, mean)
    covariance = jnp.einsum("kin,kjn->kij", of_mass[:, None] * centred, centred)
    chol = jnp.linalg.cholesky(covariance + ridge * jnp.eye(x.shape[0], dtype=x.dtype)[None])
    return Mixture(
        mass / mass.sum(),
        jnp.where(alive[:, None], mean, state.mean),
        jnp.where(alive[:, None, None], chol, state.chol),
    )


def _joint(state: Mixture, x: Array) -> Array:
    """log(weight_i N(x; mean_i, cov_i)) at `x` `[d, n]`, `[k, n]`: with the points last, each loop is a long one."""
    inverse = jnp.linalg.inv(state.chol)
    log_scale = jnp.log(jnp.diagonal(inverse, axis1=1, axis2=2)).sum(axis=-1) - 0.5 * x.shape[0] * jnp.log(2 * jnp.pi)
    z = jnp.einsum("kij,kjn->kin", inverse, _centred(x, state.mean))
    return (jnp.log(state.weight) + log_scale)[:, None] - 0.5 * jnp.sum(z**2, axis=1)


def _centred(x: Array, mean: Array) -> Array:
    return x[None] - mean[:, :, None]


def _log_prob(state: Mixture, x: Array) -> Array:
    return jax.nn.logsumexp(_joint(state, x.T), axis=0)


def _sample(key: PRNGKey, state: Mixture, num: int) -> Array:
    component_key, noise_key = jax.random.split(key)
    component = draw_index(component_key, cumulative(state.weight), num)
    noise = jax.random.normal(noise_key, (num, state.mean.shape[1]), state.mean.dtype)
    return state.mean[component] + jax.vmap(jnp.matmul)(state.chol[component], noise)
