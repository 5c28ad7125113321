"""One round of a DDPM and one batched choice, each timed against PyTorch and NumPy: prints a markdown table.

Both sides train the same network (TimeMLP: width 128, three residual layers, silu; 32 time features gathered from a
table of the levels), with the same loss, Adam, clipping and average, on all cores, in one process and by turns. The
PyTorch side is what its users write: an eager loop, `torch.no_grad`, default threads. Compilation is reported apart.
"""

import argparse
import copy
import importlib
import importlib.util
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from curated_retraining.models.ddpm import linear_betas
from curated_retraining.networks.mlp import TimeMLP, time_features

POINTS, LEVELS, STEPS, BATCH, SAMPLES = 5_000, 100, 1_250, 1_000, 50_000
RATE, CLIP, EMA = 1e-3, 1.0, 0.999  # the defaults of cr.ddpm
GROUPS, K = 50_000, 4


class Side(NamedTuple):
    """One implementation of a round; its calls return when the work is done."""

    fit: Callable[[int], Any]  # seed -> what `sample` needs
    sample: Callable[[int, Any], np.ndarray]  # seed, that -> points [SAMPLES, 2]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds of each side; medians are shown")
    repeats = parser.parse_args().repeats
    torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None

    points = cr.ring(jax.random.key(0), POINTS).x
    sides = [ours(points)] + ([pytorch(torch, np.asarray(points))] if torch else [])
    rounds = np.array([[one_round(side, seed) for side in sides] for seed in range(repeats + 1)])
    first, (fit, sample, quality) = rounds[0], np.median(rounds[1:], axis=0).T  # the first round compiles

    version = torch.__version__ if torch else "missing"
    print(f"jax {jax.__version__}, torch {version}, {os.cpu_count()} cores, medians of {repeats}\n")
    print("| | ours | PyTorch | ratio |\n| --- | --- | --- | --- |")
    print(row(f"fit: {STEPS:,} steps of {BATCH:,}, s", fit))
    print(row(f"sample: {SAMPLES:,} points through {LEVELS} levels, s", sample))
    print(row("one round, s", fit + sample))
    print(f"\nCompilation, once a process: {first[0, :2].sum() - fit[0] - sample[0]:.1f} s.")
    print(f"Mean log-density of the samples: {' and '.join(f'{value:.2f}' for value in quality)} nats", end="; ")
    print(f"of the real points: {density(points):.2f}.\n")

    print(f"| {GROUPS:,} choices among {K} | ms a call | ours / this |\n| --- | --- | --- |")
    choices = {name: 1e3 * median(seconds(choose)[1] for _ in range(50)) for name, choose in choosers(torch).items()}
    for name, milliseconds in choices.items():
        print(f"| {name} | {milliseconds:.2f} | {choices['ours'] / milliseconds:.2f} |")
    if torch is None:
        print("\nPyTorch is missing, so its column is empty: pip install -e '.[bench]'")


def ours(points: jax.Array) -> Side:
    """A round by this library."""
    model = cr.ddpm(network=TimeMLP(128, 3), betas=linear_betas(LEVELS), steps=STEPS, batch_size=BATCH)
    model = cr.batched(model, 2000)  # activations that stay in the cache
    real = cr.uniform(points)
    begin = model.init(jax.random.key(0), real.x)
    fit, sample = jax.jit(model.fit), jax.jit(model.sample, static_argnums=2)
    return Side(
        lambda seed: jax.block_until_ready(fit(jax.random.key(seed), begin, real)),
        lambda seed, state: np.asarray(sample(jax.random.key(seed), state, SAMPLES)),
    )


def pytorch(torch: Any, points: np.ndarray) -> Side:
    """The same round in eager PyTorch."""
    nn, silu = torch.nn, torch.nn.functional.silu
    tables = points, linear_betas(LEVELS), time_features(jnp.arange(LEVELS) / LEVELS)
    x, betas, features = (torch.tensor(np.asarray(table, np.float32)) for table in tables)
    kept = torch.cumprod(1 - betas, 0)
    before = torch.cat([torch.ones(1), kept[:-1]])

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.point, self.time, self.out = nn.Linear(2, 128), nn.Linear(32, 128, bias=False), nn.Linear(128, 2)
            self.layers = nn.ModuleList([nn.Linear(128, 128) for _ in range(3)])
            for name, values in self.named_parameters():  # begin as flax does, for samples of the same quality
                zero = name.endswith("bias") or name == "out.weight"
                nn.init.normal_(values, std=0.0 if zero else values.shape[1] ** -0.5)

        def forward(self, x, features):
            h = silu(self.point(x) + self.time(features))
            for layer in self.layers:
                h = h + silu(layer(h))
            return self.out(h)

    def fit(seed):
        torch.manual_seed(seed)
        network = Denoiser()
        average = copy.deepcopy(network).requires_grad_(False)
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        for t in range(STEPS):
            batch = x[torch.randint(len(x), (BATCH,))]
            level = torch.randint(LEVELS, (BATCH,))
            noise = torch.randn_like(batch)
            signal = kept[level, None]
            noisy = signal.sqrt() * batch + (1 - signal).sqrt() * noise
            optimizer.zero_grad()
            nn.functional.mse_loss(network(noisy, features[level]), noise).backward()
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            with torch.no_grad():
                pairs = list(average.parameters()), list(network.parameters())
                torch._foreach_lerp_(*pairs, 1 - min(EMA, (1 + t) / (10 + t)))
        return average

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


def choosers(torch: Any) -> dict[str, Callable[[], Any]]:
    """One batched choice each, by argmax of reward plus Gumbel noise: a pool `[GROUPS · K, 2]` -> `[GROUPS, 2]`."""
    rng = np.random.default_rng(0)
    pool, reward = rng.normal(size=(GROUPS * K, 2)).astype(np.float32), rng.normal(size=GROUPS * K).astype(np.float32)
    key, device_pool, device_reward = jax.random.key(0), jnp.asarray(pool), jnp.asarray(reward)
    choose, first = jax.jit(cr.k_way(K, cr.luce())), np.arange(0, GROUPS * K, K)
    jax.block_until_ready(choose(key, device_pool, device_reward))

    def numpy_race():  # the argmax of reward plus Gumbel noise is the argmin of exponential noise over e^reward
        arrival = rng.standard_exponential((GROUPS, K), dtype=np.float32) * np.exp(-reward.reshape(-1, K))
        return pool[first + np.argmin(arrival, axis=1)]

    def torch_gumbel():
        noise = -torch.empty(GROUPS, K).exponential_().log_()
        return torch_pool[torch_first + (torch_reward.view(-1, K) + noise).argmax(dim=1)]

    forms = {"ours": lambda: jax.block_until_ready(choose(key, device_pool, device_reward)), "NumPy": numpy_race}
    if torch:
        torch_pool, torch_reward, torch_first = (torch.tensor(value) for value in (pool, reward, first))
        forms["PyTorch"] = torch_gumbel
    return forms


def one_round(side: Side, seed: int) -> tuple[float, float, float]:
    """Seconds to fit, seconds to sample, and the mean log-density of the samples."""
    fitted, fit_seconds = seconds(lambda: side.fit(seed))
    points, sample_seconds = seconds(lambda: side.sample(seed, fitted))
    return fit_seconds, sample_seconds, density(points)


def density(points: Any) -> float:
    """Mean log-density under the ring, in nats: how good samples are."""
    return float(cr.data.ring_log_density(jnp.asarray(points)).mean())


def seconds(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns and how long it took."""
    begin = time.perf_counter()
    return call(), time.perf_counter() - begin


def row(name: str, values: np.ndarray) -> str:
    """A row of the table: ours, theirs if there is one, and the ratio."""
    theirs, ratio = (f"{values[1]:.2f}", f"{values[0] / values[1]:.2f}") if len(values) > 1 else ("", "")
    return f"| {name} | {values[0]:.2f} | {theirs} | {ratio} |"


if __name__ == "__main__":
    main()
