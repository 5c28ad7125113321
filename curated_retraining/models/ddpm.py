"""Denoising diffusion: ε-prediction (Ho, Jain, Abbeel 2020), sampled by all or some of its noise levels."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from curated_retraining.models.trained import trained
from curated_retraining.networks.mlp import TimeMLP, time_features
from curated_retraining.types import Array, Model


def linear_betas(levels: int = 100) -> Array:
    """The variances of Ho et al., scaled so that any number of levels ends in the same noise: `[levels]`."""
    return jnp.minimum(jnp.linspace(1e-4, 0.02, levels) * (1000 / levels), 0.999)


def cosine_betas(levels: int = 100) -> Array:
    """The schedule of Nichol, Dhariwal (2021, eq. 17), which spends more levels on little noise: `[levels]`."""
    time = jnp.arange(levels + 1) / levels
    kept = jnp.cos((time + 0.008) / 1.008 * jnp.pi / 2) ** 2
    return jnp.minimum(1 - kept[1:] / kept[:-1], 0.999)


def ddpm(
    network: nn.Module | None = None,
    *,
    betas: Array | None = None,
    sample_steps: int | None = None,
    eta: float = 1.0,
    **training,
) -> Model:
    """A denoising diffusion model, trained by the simple loss of Ho et al. (eq. 14) on weighted points.

    Args:
        network: x `[n, *event]`, time features `[n or 1, 32]` -> predicted noise; `TimeMLP()` by default.
        betas: the variance of each noise level, `[levels]`; `linear_betas(100)` by default.
        sample_steps: how many levels a sampler visits, evenly spaced; all by default.
        eta: 1 is the ancestral sampler (with the posterior variances), 0 the deterministic one (Song, Meng, Ermon
            2021, eq. 16).
        training: what `trained` takes: `steps`, `batch_size`, `learning_rate`, `ema`, ...

    It has no `log_prob`: the density of an ancestral sampler is only bounded. With few levels even a perfect network
    draws too narrow samples: `linear_betas(100)` keeps 0.92 of the variance of a standard normal and 0.77 of one of
    sd 0.2 (0.96 and 0.88 at `eta` 0), which compounds over generations.
    """
    network = TimeMLP() if network is None else network
    betas = linear_betas() if betas is None else jnp.asarray(betas)
    levels = betas.shape[0]
    sample_steps = levels if sample_steps is None else sample_steps
    if not 1 <= sample_steps <= levels:
        raise ValueError(f"sample_steps={sample_steps} is not a number of the {levels} noise levels")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta={eta} is not a share of the posterior noise: take a number in [0, 1]")

    kept = jnp.cumprod(1 - betas)  # the variance that is still signal after each level
    features = time_features(jnp.arange(levels) / levels)

    def init_params(key, x):
        return network.init(key, x[:1], features[:1])

    def loss(key, params, x):
        level_key, noise_key = jax.random.split(key)
        level = jax.random.randint(level_key, x.shape[:1], 0, levels)
        noise = jax.random.normal(noise_key, x.shape, x.dtype)
        noisy = jax.vmap(lambda kept, x, noise: jnp.sqrt(kept) * x + jnp.sqrt(1 - kept) * noise)(kept[level], x, noise)
        return jnp.mean((jnp.asarray(network.apply(params, noisy, features[level])) - noise) ** 2)

    def sample(key, state, num):
        first_key, path_key = jax.random.split(key)
        visited = jnp.round(jnp.linspace(levels - 1, 0, sample_steps)).astype(int)
        following = jnp.append(kept[visited[1:]], 1.0)

        def denoise(x, inputs):
            key, level, next_kept = inputs
            noise = jnp.asarray(network.apply(state.average, x, features[level][None]))
            clean = (x - jnp.sqrt(1 - kept[level]) * noise) / jnp.sqrt(kept[level])
            variance = eta**2 * (1 - next_kept) / (1 - kept[level]) * (1 - kept[level] / next_kept)
            fresh = jnp.sqrt(variance) * jax.random.normal(key, x.shape, x.dtype)
            return jnp.sqrt(next_kept) * clean + jnp.sqrt(1 - next_kept - variance) * noise + fresh, None

        x = jax.random.normal(first_key, (num, *state.event.shape), state.event.dtype)
        keys = jax.random.split(path_key, sample_steps)
        return jax.lax.scan(denoise, x, (keys, visited, following))[0]

    init, fit = trained(init_params, loss, **training)
    return Model(init, fit, sample, log_prob=None)
