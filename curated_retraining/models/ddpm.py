"""Denoising diffusion: ε-prediction (Ho, Jain, Abbeel 2020)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike

from curated_retraining.models.samplers import Sampler, ancestral
from curated_retraining.models.trained import Trained, of_floats, trained
from curated_retraining.networks.mlp import TimeMLP, time_features
from curated_retraining.types import Array, Model, PRNGKey, Static


def linear_betas(levels: int = 100) -> np.ndarray:
    """The variances of Ho et al., scaled so that any number of levels ends in the same noise: `[levels]`."""
    return np.minimum(np.linspace(1e-4, 0.02, levels) * (1000 / levels), 0.999)


def cosine_betas(levels: int = 100) -> np.ndarray:
    """The schedule of Nichol, Dhariwal (2021, eq. 17), which spends more levels on little noise: `[levels]`."""
    time = np.arange(levels + 1) / levels
    kept = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - kept[1:] / kept[:-1], 0.999)


def ddpm(
    network: nn.Module | None = None,
    *,
    betas: ArrayLike | None = None,
    sampler: Sampler | None = None,
    **training,
) -> Model:
    """A denoising diffusion model, trained by the simple loss of Ho et al. (eq. 14) on weighted points.

    Args:
        network: x `[n, *event]`, time features `[n or 1, 32]` -> predicted noise; `TimeMLP()` by default.
        betas: the variance of each noise level, `[levels]`, in (0, 1); `linear_betas(100)` by default.
        sampler: `ancestral()` by default; `multistep()` is more exact in a quarter of the steps.
        training: what `trained` takes: `steps`, `batch_size`, `learning_rate`, `ema`, ...

    It has no `log_prob`: the density of its samples is only bounded.

    Raises:
        ValueError: where `betas` leave (0, 1) or `sampler` visits more levels than there are.
    """
    network = TimeMLP() if network is None else network
    sampler = ancestral() if sampler is None else sampler
    kept = _kept(betas)
    levels = len(kept)
    features = time_features(jnp.arange(levels) / levels)
    jax.eval_shape(lambda key, x: sampler(key, x, kept, lambda x, level: x), jax.random.key(0), jnp.zeros((1, 1)))

    def init_params(key, x):
        return network.init(key, x[:1], features[:1])

    def prepare(key, x):
        level_key, noise_key = jax.random.split(key)
        level = jax.random.randint(level_key, x.shape[:1], 0, levels)
        noise = jax.random.normal(noise_key, x.shape, x.dtype)
        return jax.vmap(_noisy)(jnp.asarray(kept, x.dtype)[level], x, noise), features[level], noise

    def loss(key, params, prepared):
        del key
        noisy, features, noise = prepared
        return jnp.mean((jnp.asarray(network.apply(params, noisy, features)) - noise) ** 2)

    def sample(key, state, num):
        first_key, path_key = jax.random.split(key)
        noise = jax.random.normal(first_key, (num, *state.event.shape), state.event.dtype)

        def predict(x, level):
            return jnp.asarray(network.apply(state.average, x, features[level][None]), x.dtype)

        return sampler(path_key, noise, kept, predict)

    init, fit = of_floats(trained(init_params, loss, prepare=prepare, **training))
    return Model(init, fit, sample, log_prob=None)


def denoising_loss(
    key: PRNGKey, network: nn.Module | None = None, *, betas: ArrayLike | None = None, draws: int = 16
) -> Callable[[Trained, Array], Array]:
    """The simple loss of each point by itself, `(state of ddpm, x [n, *event]) -> [n]`: small where x is typical.

    The mean over `draws` noised copies of a point, at levels spread evenly from the first to the last: a stand-in for
    −log p(x), whose bound is the same sum with other weights of the levels (Ho et al. eq. 12 and 14). The levels' noise
    is drawn once, and is the same for all points and generations, so that they compare.

    Args:
        network: as of the model.
        betas: as of the model.
        draws: copies of a point.
    """
    network = TimeMLP() if network is None else network
    kept = _kept(betas)
    if draws < 1:
        raise ValueError(f"draws={draws} is not a number of noised copies: take 1 or more")
    level = np.round((np.arange(draws) + 0.5) / draws * len(kept) - 0.5).astype(int)
    return Partial(_denoising_loss, Static((network, len(kept))), jnp.asarray(kept[level], float), level, key)


def _denoising_loss(size: Static, kept: Array, level: Array, key: PRNGKey, state: Trained, x: Array) -> Array:
    network, levels = size.value

    def at(inputs):
        kept, level, key = inputs
        noise = jax.random.normal(key, x.shape[1:], x.dtype)
        noisy = jax.vmap(lambda x: _noisy(kept, x, noise))(x)
        predicted = jnp.asarray(network.apply(state.average, noisy, time_features(level[None] / levels)))
        return jax.vmap(lambda predicted: jnp.mean((predicted - noise) ** 2))(predicted)

    return jax.lax.map(at, (kept, level, jax.random.split(jax.random.clone(key), len(level)))).mean(axis=0)


def _kept(betas: ArrayLike | None) -> np.ndarray:
    """The variance that is still signal after each level, `[levels]`."""
    betas = linear_betas() if betas is None else np.asarray(betas, float)
    if betas.ndim != 1 or not np.all((betas > 0) & (betas < 1)):
        raise ValueError(f"betas={betas} are not variances of noise levels: take a row of numbers between 0 and 1")
    return np.cumprod(1 - betas)


def _noisy(kept: Array, x: Array, noise: Array) -> Array:
    return jnp.sqrt(kept) * x + jnp.sqrt(1 - kept) * noise
