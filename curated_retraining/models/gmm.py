"""Gaussian mixtures with full covariances, fitted by expectation maximisation on weighted points."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from curated_retraining.data import cumulative, draw, draw_index, uniform
from curated_retraining.types import Array, Dataset, Model, PRNGKey, Static


class Mixture(NamedTuple):
    """Weights, means and covariances of `k` Gaussians in `d` dimensions."""

    weight: Array  # [k], sums to one
    mean: Array  # [k, d]
    chol: Array  # [k, d, d], lower Cholesky factors of the covariances


def gmm(components: int, steps: int = 20, ridge: float = 1e-4) -> Model:
    """Mixtures of `components` Gaussians on `[n, d]`, fitted by `steps` of EM from where the last fit ended.

    `ridge` is added to the diagonal of each covariance (squared units of the data). Starts from k-means++ seeds. A
    component that has lost all its points keeps its place with weight zero.
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
    chol = jnp.broadcast_to(spread * jnp.eye(d), (k, d, d))
    return Mixture(jnp.full(k, 1 / k, float), jnp.concatenate([first[None], later]), chol)


def _squared_distance(x, point):
    return jax.vmap(lambda row: jnp.sum((row - point) ** 2))(x)


def _fit(steps: Static, ridge, key, state: Mixture, data: Dataset) -> Mixture:
    del key

    def step(state, _):
        share = jax.nn.softmax(_joint(state, data.x), axis=-1) * data.weight[:, None]  # [n, k]
        return _maximise(state, share, data.x, ridge), None

    return jax.lax.scan(step, state, length=steps.value)[0]


def _maximise(state: Mixture, share: Array, x: Array, ridge) -> Mixture:
    mass = share.sum(axis=0)
    alive = mass > 0
    of_mass = share / jnp.where(alive, mass, 1.0)[None]

    def moments(of_mass, old_mean, old_chol, alive):
        mean = of_mass @ x
        centred = jax.vmap(lambda row: row - mean)(x)
        chol = jnp.linalg.cholesky(centred.T @ (of_mass[:, None] * centred) + ridge * jnp.eye(x.shape[1]))
        return jnp.where(alive, mean, old_mean), jnp.where(alive, chol, old_chol)

    mean, chol = jax.vmap(moments, in_axes=(1, 0, 0, 0))(of_mass, state.mean, state.chol, alive)
    return Mixture(mass / mass.sum(), mean, chol)


def _joint(state: Mixture, x: Array) -> Array:
    """log(weight_i N(x; mean_i, cov_i)), `[n, k]`."""
    inverse = jnp.linalg.inv(state.chol)
    log_scale = jnp.log(jnp.diagonal(inverse, axis1=1, axis2=2)).sum(axis=-1) - 0.5 * x.shape[1] * jnp.log(2 * jnp.pi)

    def component(weight, mean, inverse, log_scale):
        z = jax.vmap(lambda row: row - mean)(x) @ inverse.T
        return jnp.log(weight) + log_scale - 0.5 * jnp.sum(z**2, axis=-1)

    return jax.vmap(component, out_axes=1)(state.weight, state.mean, inverse, log_scale)


def _log_prob(state: Mixture, x: Array) -> Array:
    return jax.nn.logsumexp(_joint(state, x), axis=-1)


def _sample(key: PRNGKey, state: Mixture, num: int) -> Array:
    component_key, noise_key = jax.random.split(key)
    component = draw_index(component_key, cumulative(state.weight), num)
    noise = jax.random.normal(noise_key, (num, state.mean.shape[1]))
    return state.mean[component] + jax.vmap(jnp.matmul)(state.chol[component], noise)
