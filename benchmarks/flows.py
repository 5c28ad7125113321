"""Flow matching against torchcfm: the plane, three layers of 64, batches of 256; independent and OT couplings."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import curated_retraining as cr
from benchmarks import torch_training
from benchmarks.table import Row, peer, turns
from curated_retraining.models.couplings import _cost, independent, near_ot
from curated_retraining.networks.mlp import TimeMLP

STEPS, BATCH, POINTS, SEEDS = 500, 256, 5_000, 64
WIDTH, LAYERS = 64, 2  # the first layer is of both the point and the time


def rows(repeats: int) -> list[Row]:
    """Fits by both couplings, fits of 64 seeds, and the coupling alone."""
    torchcfm = peer("torchcfm")
    version = f"torchcfm {torchcfm.__version__}, PyTorch {peer('torch').__version__}"
    matchers = torchcfm.ConditionalFlowMatcher(0.0), torchcfm.ExactOptimalTransportConditionalFlowMatcher(0.0)
    x = cr.ring(jax.random.key(0), POINTS).x / 1.5
    found = []
    for name, coupling, matcher, wanted in zip(
        ("independent", "OT"), (independent, near_ot()), matchers, (3.5, 3.5), strict=True
    ):
        begun, (mine, theirs) = turns([ours(coupling, x), torch_fit(matcher, np.asarray(x))], repeats)
        work = f"flow matching fit: {STEPS} steps of {BATCH}, 3 × {WIDTH}, {name}"
        found.append(Row(work, mine, begun[0] - mine, version, theirs, wanted))
        if name == "independent":
            begun, (many,) = turns([ours(coupling, x, SEEDS)], repeats)
            work = f"the same, a seed of {SEEDS}"
            found.append(Row(work, many / SEEDS, begun[0] - many, version, theirs, wanted))
    return [*found, coupling_row(x, matchers[1], repeats)]


def ours(coupling: Any, x: Any, seeds: int = 1) -> Any:
    """A fit, or fits of many seeds in one program, one after the other."""
    model = cr.flow_matching(TimeMLP(WIDTH, LAYERS), coupling=coupling, steps=STEPS, batch_size=BATCH)
    real = cr.uniform(x)

    def fit(key):
        init_key, fit_key = jax.random.split(key)
        return model.fit(fit_key, model.init(init_key, real.x), real).average

    program = jax.jit(lambda keys: jax.lax.map(fit, keys))
    return lambda seed: program(jax.random.split(jax.random.key(seed), seeds))


def torch_fit(matcher: Any, points: np.ndarray) -> Any:
    """The same fit as users of torchcfm write it, with the same time features, clipping and average."""
    torch = peer("torch")
    x = torch.tensor(points)

    def loss(network):
        batch = x[torch.randint(len(x), (BATCH,))]
        time, between, velocity = matcher.sample_location_and_conditional_flow(torch.randn_like(batch), batch)
        return torch.nn.functional.mse_loss(network(between, torch_training.time_features(time)), velocity)

    def fit(seed):
        torch.manual_seed(seed)
        return torch_training.fitted(torch_training.denoiser(WIDTH, LAYERS), loss, STEPS)

    return fit


def coupling_row(x: Any, matcher: Any, repeats: int) -> Row:
    """The coupling of batches by itself, and its mean cost."""
    torch = peer("torch")
    calls = 32
    point_key, noise_key, couple_key = jax.random.split(jax.random.key(1), 3)
    points = x[jax.random.randint(point_key, (calls, BATCH), 0, POINTS)]
    noise = jax.random.normal(noise_key, points.shape)
    couple = jax.jit(jax.vmap(near_ot()))
    keys = jax.random.split(couple_key, calls)
    batches = list(zip(torch.tensor(np.asarray(noise)), torch.tensor(np.asarray(points)), strict=True))

    begun, (mine, theirs) = turns(
        [
            lambda seed: couple(keys, noise, points),
            lambda seed: [matcher.ot_sampler.get_map(*pair) for pair in batches],
        ],
        repeats,
    )
    spent = jnp.sum((couple(keys, noise, points) - points) ** 2)
    costs = np.asarray(jax.vmap(_cost)(noise, points), np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a plan that is not unique
        least = sum(
            (matcher.ot_sampler.get_map(*pair) * cost).sum() * BATCH for pair, cost in zip(batches, costs, strict=True)
        )
    return Row(
        f"OT coupling of {BATCH} points",
        mine / calls,
        begun[0] - mine,
        f"torchcfm {peer('torchcfm').__version__} (exact, by POT {peer('ot').__version__})",
        theirs / calls,
        4,
        quality=f"transport cost {spent / least:.4f} of the least",
    )
