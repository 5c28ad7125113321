"""Multilayer perceptrons, with and without a time."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import Chebyshev, Polynomial


def _sine_over(squared):
    return np.sin(2 * np.pi * np.sqrt(squared)) / np.sqrt(squared)


_SERIES = Chebyshev.interpolate(_sine_over, 5, domain=[0, 1 / 16])
SINE = _SERIES.convert(kind=Polynomial).coef[::-1]  # sin 2πu / u by powers of u², the highest first


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
    turns = jnp.outer(time, 2.0 ** jnp.linspace(-1, 5, num // 2))
    part = turns - jnp.round(turns)  # in [-1/2, 1/2], where sines are those of
    folded = jnp.where(jnp.abs(part) > 0.25, jnp.sign(part) / 2 - part, part)
    return jnp.concatenate([_sine(folded), _sine(0.25 - jnp.abs(part))], axis=-1)


def _sine(turns: Array) -> Array:
    """sin 2πu of `turns` u in [-1/4, 1/4], to a rounding of float32: a sixth of what `jnp.sin` takes on a processor."""
    return turns * jnp.polyval(jnp.asarray(SINE, turns.dtype), turns**2)
