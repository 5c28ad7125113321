"""Ways through the noise levels of a diffusion model, from pure noise to a sample."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining.types import Array, PRNGKey

Predict = Callable[[Array, Array], Array]  # noisy x [n, *event], level [] -> the noise in it [n, *event]
Sampler = Callable[[PRNGKey, Array, np.ndarray, Predict], Array]  # key, pure noise, kept [levels], predict -> samples


def ancestral(steps: int | None = None, eta: float = 1.0) -> Sampler:
    """Removes noise level by level and adds some again (Ho et al. 2020, Algorithm 2, with posterior variances).

    Visits `steps` evenly spaced levels, all by default. `eta` is the share of the posterior noise that is added again:
    at 0 nothing is (DDIM; Song, Meng, Ermon 2021, eq. 16). With few levels even a perfect network draws too narrow
    samples: all of `linear_betas(100)` keep 0.92 of the variance of a standard normal and 0.77 of one of sd 0.2 (0.96
    and 0.88 at `eta` 0), which compounds over generations.

    Raises:
        ValueError: where `eta` is outside [0, 1], or, when the model is built, `steps` outside 1..levels.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta={eta} is not a share of the posterior noise: take a number in [0, 1]")

    def sample(key, x, kept, predict):
        levels = len(kept)
        visited = np.round(np.linspace(levels - 1, 0, _checked(steps, levels))).astype(int)
        now, after = _pairs(kept, visited, x.dtype)

        def denoise(x, inputs):
            key, level, now, after = inputs
            noise = predict(x, level)
            clean = (x - jnp.sqrt(1 - now) * noise) / jnp.sqrt(now)
            variance = eta**2 * (1 - after) / (1 - now) * (1 - now / after)
            fresh = jnp.sqrt(variance) * jax.random.normal(key, x.shape, x.dtype)
            return jnp.sqrt(after) * clean + jnp.sqrt(1 - after - variance) * noise + fresh, None

        keys = jax.random.split(key, len(visited))
        return jax.lax.scan(denoise, x, (keys, jnp.asarray(visited), now, after))[0]

    return sample


def multistep(steps: int = 25, start: float = -3.0) -> Sampler:
    """Follows the probability flow by the second-order multistep DPM-Solver++ (Lu et al. 2022, Algorithm 2).

    Visits at most `steps` levels, evenly spaced in log(signal / noise), and draws no noise but the first. It starts at
    the log-ratio `start` or at the noisiest level: in more noise a small error of the network is a large one of the
    clean point, which this sampler follows (from the noisiest of `cosine_betas(100)`, a ratio of e^−8, a perceptron's
    samples of a ring were 0.27 off in sliced W₂, from e^−3 on 0.04). Data should have a scale of about one. With a
    perfect network 25 steps keep 1.00 to 1.03 of the variance of normals of sd 0.2 to 1.

    Raises:
        ValueError: where, when the model is built, `steps` is outside 1..levels or no level is as clean as `start`.
    """

    def sample(key, x, kept, predict):
        del key
        ratio = 0.5 * np.log(kept / (1 - kept))  # of signal to noise, as a logarithm
        if not ratio[0] > start:
            raise ValueError(f"start={start} is cleaner than the least noise, at {ratio[0]:.2f}: lower it")
        wanted = np.linspace(max(ratio[-1], start), ratio[0], _checked(steps, len(kept)))
        visited = np.unique(np.abs(ratio[:, None] - wanted).argmin(axis=0))[::-1]
        now, after = _pairs(kept, visited, x.dtype)
        gap = np.append(np.diff(ratio[visited]), np.inf)
        weight = np.append(0.0, gap[1:-1] / (2 * gap[:-2])) if len(visited) > 1 else np.zeros(0)
        weight = np.append(weight, 0.0)  # the first and the last step are of first order

        def denoise(carry, inputs):
            x, before = carry
            level, now, after, weight, decay = inputs
            clean = (x - jnp.sqrt(1 - now) * predict(x, level)) / jnp.sqrt(now)
            ahead = clean + weight * (clean - before)
            return (jnp.sqrt((1 - after) / (1 - now)) * x + jnp.sqrt(after) * (1 - decay) * ahead, clean), None

        steps_of = (jnp.asarray(visited), now, after, jnp.asarray(weight, x.dtype), jnp.asarray(np.exp(-gap), x.dtype))
        return jax.lax.scan(denoise, (x, x), steps_of)[0][0]

    return sample


def _checked(steps: int | None, levels: int) -> int:
    steps = levels if steps is None else steps
    if not 1 <= steps <= levels:
        raise ValueError(f"steps={steps} is not a number of the {levels} noise levels")
    return steps


def _pairs(kept: np.ndarray, visited: np.ndarray, dtype: jnp.dtype) -> tuple[Array, Array]:
    """What is kept of the signal at each visited level and at the next, which is all of it in the end."""
    return jnp.asarray(kept[visited], dtype), jnp.asarray(np.append(kept[visited[1:]], 1.0), dtype)
