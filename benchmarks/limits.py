"""How near fits and samplers come to the machine: their share of its rate of matrix products, by width."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import curated_retraining as cr
from benchmarks.table import Row, turns
from curated_retraining.models.samplers import multistep
from curated_retraining.networks.mlp import TimeMLP

WIDTHS, STEPS, BATCH, SAMPLES, EVALUATIONS = (64, 128, 256), 200, 512, 20_000, 20
SIDE, LONG = 2048, 2**26  # a product of squares; numbers that fit no cache
K, POOL = 4, 400_000


def rows(repeats: int) -> list[Row]:
    """The machine's two rates, then fit and sampling of each model and width, then what memory bounds."""
    square, long = jnp.ones((SIDE, SIDE)), jnp.ones(LONG)
    product, products = timed(lambda x: x @ x, repeats, square)
    copy, copies = timed(lambda x: x + 1, repeats, long)
    peak, bandwidth = 2 * SIDE**3 / product, 8 * LONG / copy
    found = [
        Row(f"matrix product, {SIDE} squared", product, products, note=f"{peak / 1e9:.0f} GFLOP/s: 100 %"),
        Row(f"{LONG:,} numbers read and written", copy, copies, note=f"{bandwidth / 1e9:.1f} GB/s: 100 %"),
    ]
    for width in WIDTHS:
        found += of("flow_matching", width, cr.flow_matching, {"sample_steps": EVALUATIONS // 2}, peak, repeats)
        found += of("ddpm", width, cr.ddpm, {"sampler": multistep(EVALUATIONS)}, peak, repeats)
    return [*found, choice(bandwidth, repeats), mixture(repeats)]


def of(name: str, width: int, build: Callable[..., cr.Model], options: dict, peak: float, repeats: int) -> list[Row]:
    """A fit and a sampling of a perceptron with three residual layers."""
    network = TimeMLP(width, 3)
    model = build(network, steps=STEPS, batch_size=BATCH, **options)
    real = cr.uniform(cr.ring(jax.random.key(0), 5_000).x / 1.5)
    state = jax.jit(model.init)(jax.random.key(0), real.x)
    layers = 3 * width * width + 2 * 2 * width  # of each point; those of a sampler's time are of one row
    fit, fits = timed(lambda state: model.fit(jax.random.key(1), state, real), repeats, state)
    inner = cr.batched(model, 2000)
    sample, samples = timed(lambda state: inner.sample(jax.random.key(1), state, SAMPLES), repeats, state)
    return [
        rated(f"{name} fit, width {width}", fit, fits, 6 * (layers + 32 * width) * BATCH * STEPS, peak),
        rated(f"{name} sampling, width {width}", sample, samples, 2 * layers * SAMPLES * EVALUATIONS, peak),
    ]


def rated(name: str, took: float, compiled: float, flops: float, peak: float) -> Row:
    """A row that says the rate of the matrix products alone."""
    rate = flops / took
    return Row(name, took, compiled, note=f"{rate / 1e9:.0f} GFLOP/s: {rate / peak:.0%} of the products' rate")


def choice(bandwidth: float, repeats: int) -> Row:
    """Memory bounds a choice: rewards and points are read, chosen points written; noise is made on the way."""
    pool, reward = jnp.ones((POOL, 2)), jnp.ones(POOL)
    curate = cr.k_way(K, cr.luce())
    took, compiled = timed(lambda pool, reward: curate(jax.random.key(0), pool, reward), repeats, pool, reward)
    moved = 4 * (3 * POOL + 3 * POOL // K)
    note = f"{moved / took / 1e9:.1f} GB/s: {moved / took / bandwidth:.0%} of the memory's; random numbers bound it"
    return Row(f"{POOL // K:,} choices among {K}", took, compiled, note=note)


def mixture(repeats: int) -> Row:
    """Expectation maximisation: few products, many exponentials."""
    components, steps, num = 8, 20, 40_000
    model, real = cr.gmm(components, steps), cr.ring(jax.random.key(0), 40_000)
    state = model.init(jax.random.key(0), real.x)
    took, compiled = timed(lambda state: model.fit(jax.random.key(0), state, real), repeats, state)
    each = took / (steps * components * num)
    note = f"{1e9 * each:.1f} ns a point, component and step: an exponential and 20 flops"
    return Row(f"gmm fit: {steps} steps, {components} components, {num:,} points", took, compiled, note=note)


def timed(call: Callable, repeats: int, *arguments: Any) -> tuple[float, float]:
    """Seconds of a call of its program, and of compiling it."""
    program = jax.jit(call)
    begun, (took,) = turns([lambda seed: program(*arguments)], max(repeats, 3))
    return took, begun[0] - took
