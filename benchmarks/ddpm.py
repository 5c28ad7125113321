"""One round of a DDPM against PyTorch.

Both sides train the same network (TimeMLP: width 128, three residual layers, silu; 32 time features gathered from a
table of the levels), with the same loss, Adam, clipping and average, on all cores, in one process and by turns. The
PyTorch side is what its users write: an eager loop, `torch.no_grad`, default threads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from benchmarks import torch_training
from benchmarks.table import Row, peer, seconds
from curated_retraining.models.ddpm import linear_betas
from curated_retraining.models.samplers import ancestral, multistep
from curated_retraining.networks.mlp import TimeMLP, time_features
from curated_retraining.types import Generation

POINTS, LEVELS, STEPS, BATCH, SAMPLES = 5_000, 100, 1_250, 1_000, 50_000


class Side(NamedTuple):
    """One implementation of a round; its calls return when the work is done."""

    fit: Callable[[int], Any]  # seed -> what `sample` needs
    sample: Callable[[int, Any], Any]  # seed, that -> points [SAMPLES, 2]


def rows(repeats: int) -> list[Row]:
    """Fit, sampling and both; then the round by a sampler of fewer steps."""
    points = cr.ring(jax.random.key(0), POINTS).x
    sides = [ours(points, ancestral()), ours(points, multistep(25)), pytorch(np.asarray(points))]
    times = np.array([[one_round(side, seed) for side in sides] for seed in range(repeats + 1)])
    first, (all_levels, few, theirs) = times[0], np.median(times[1:], axis=0)
    compiled = first[:, :2] - np.array([all_levels, few, theirs])[:, :2]
    torch = f"PyTorch {peer('torch').__version__} eager"

    def row(work, ours, compiled, theirs, wanted=None, **more):
        return Row(work, ours, compiled, torch, theirs, wanted, **more)

    quality = "sliced W₂ {:.3f}, PyTorch {:.3f}, of real points {:.3f}"
    floor = sliced_w2(cr.ring(jax.random.key(2), SAMPLES).x)
    return [
        row(f"DDPM fit: {STEPS:,} steps of {BATCH:,}, width 128", all_levels[0], compiled[0, 0], theirs[0]),
        row(f"DDPM sampling: {SAMPLES:,} points, {LEVELS} levels", all_levels[1], compiled[0, 1], theirs[1]),
        row(
            "DDPM round",
            all_levels[:2].sum(),
            compiled[0].sum(),
            theirs[:2].sum(),
            2,
            quality=quality.format(all_levels[2], theirs[2], floor),
            note="the fit is bound by matrix products, which both meet",
        ),
        row(
            "DDPM round, 25 levels of second order",
            few[:2].sum(),
            compiled[1].sum(),
            theirs[:2].sum(),
            3.5,
            quality=quality.format(few[2], theirs[2], floor),
        ),
    ]


def ours(points: jax.Array, sampler: Any) -> Side:
    """A round by this library."""
    model = cr.ddpm(network=TimeMLP(128, 3), betas=linear_betas(LEVELS), sampler=sampler, steps=STEPS, batch_size=BATCH)
    model = cr.batched(model, 2000)  # activations that stay in the cache
    real = cr.uniform(points)
    begin = model.init(jax.random.key(0), real.x)
    fit, sample = jax.jit(model.fit), jax.jit(model.sample, static_argnums=2)
    return Side(
        lambda seed: fit(jax.random.key(seed), begin, real),
        lambda seed, state: sample(jax.random.key(seed), state, SAMPLES),
    )


def pytorch(points: np.ndarray) -> Side:
    """The same round in eager PyTorch."""
    torch = peer("torch")
    tables = points, linear_betas(LEVELS), time_features(jnp.arange(LEVELS) / LEVELS)
    x, betas, features = (torch.tensor(np.asarray(table, np.float32)) for table in tables)
    kept = torch.cumprod(1 - betas, 0)
    before = torch.cat([torch.ones(1), kept[:-1]])

    def fit(seed):
        torch.manual_seed(seed)

        def loss(network):
            batch = x[torch.randint(len(x), (BATCH,))]
            level = torch.randint(LEVELS, (BATCH,))
            noise = torch.randn_like(batch)
            signal = kept[level, None]
            noisy = signal.sqrt() * batch + (1 - signal).sqrt() * noise
            return torch.nn.functional.mse_loss(network(noisy, features[level]), noise)

        return torch_training.fitted(torch_training.denoiser(128, 3), loss, STEPS)

    @torch.no_grad()
    def sample(seed, network):
        torch.manual_seed(seed)
        x = torch.randn(SAMPLES, 2)
        for level in reversed(range(LEVELS)):
            noise = network(x, features[level, None])
            clean = (x - (1 - kept[level]).sqrt() * noise) / kept[level].sqrt()
            variance = (1 - before[level]) / (1 - kept[level]) * betas[level]
            mean = before[level].sqrt() * clean + (1 - before[level] - variance).sqrt() * noise
            x = mean + variance.sqrt() * torch.randn_like(x)
        return x.numpy()

    return Side(fit, sample)


def one_round(side: Side, seed: int) -> tuple[float, float, float]:
    """Seconds to fit, seconds to sample, and how far the samples are from the ring."""
    fitted, fit_seconds = seconds(lambda: side.fit(seed))
    points, sample_seconds = seconds(lambda: side.sample(seed, fitted))
    return fit_seconds, sample_seconds, sliced_w2(points)


def sliced_w2(points: Any) -> float:
    """Sliced 2-Wasserstein distance to fresh points of the ring: how good samples are."""
    nothing: Any = None
    metric = cr.metrics.sliced_wasserstein(jax.random.key(0), cr.ring(jax.random.key(1), SAMPLES).x)
    return float(metric(Generation(nothing, jnp.asarray(points), nothing, nothing, nothing))["sliced_w2"])
