"""Multilayer perceptrons, with and without a time."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class MLP(nn.Module):
    """A residual perceptron from `[n, *event]` to `[n, out]`; the last layer starts at zero."""

    out: int
    width: int = 64
    depth: int = 2

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = nn.silu(nn.Dense(self.width)(x.reshape(x.shape[0], -1)))
        for _ in range(self.depth):
            h = h + nn.silu(nn.Dense(self.width)(h))
        return nn.Dense(self.out, kernel_init=nn.initializers.zeros)(h)


class TimeMLP(nn.Module):
    """A residual perceptron from `[n, *event]` and time features `[n, f]`, or `[1, f]` for all, to `[n, *event]`."""

    width: int = 128
    depth: int = 3

    @nn.compact
    def __call__(self, x: Array, features: Array) -> Array:
        flat = x.reshape(x.shape[0], -1)
        h = nn.silu(nn.Dense(self.width)(flat) + nn.Dense(self.width, use_bias=False)(features))
        for _ in range(self.depth):
            h = h + nn.silu(nn.Dense(self.width)(h))
        return nn.Dense(flat.shape[-1], kernel_init=nn.initializers.zeros)(h).reshape(x.shape)


def time_features(time: Array, num: int = 32) -> Array:
    """Sines and cosines of times in [0, 1], `[n] -> [n, num]`, at frequencies from 1/2 to 32 turns in octaves."""
    turns = 2.0 ** jnp.linspace(-1, 5, num // 2)
    angle = 2 * jnp.pi * jnp.outer(time, turns)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
