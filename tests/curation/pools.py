"""How the tests of curation curate."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

ROWS = jnp.arange(6)[:, None]


@jax.jit
def _curate(curator, key, pool, reward):
    return curator(key, pool, reward)


def curate(curator, reward, pool: ArrayLike = ROWS, seed=0):
    return _curate(curator, jax.random.key(seed), jnp.asarray(pool), jnp.asarray(reward))


def repeated(curator, reward, times):
    """The rows of a group with these rewards that are chosen in independent repetitions, `[times]`."""
    reward = np.asarray(reward)
    n = times * len(reward)
    return np.asarray(curate(curator, np.concatenate([reward] * times), np.arange(n)).x) % len(reward)
