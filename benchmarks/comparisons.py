"""A reward fitted to 50,000 comparisons by `preferences.learned`, against Adam on one comparison at a time.

python -m benchmarks.comparisons

Points of the ring are compared, two at a time, by people who feel −2 ‖x − (2, 0)‖. Ours is what a generation of the
loop does: it draws the pairs, asks, and fits by minibatches at a rate that falls to zero by a cosine. One by one is
Adam on one comparison a step: at 1e-3 and in their order for one pass, of which the last parameters or their moving
average are read; to convergence, ten shuffled passes at a rate that falls likewise. All are compiled scans, so that no
difference is the interpreter's. Losses are in nats a comparison, in brackets the standard error of the difference to r.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import preferences
from curated_retraining.networks.mlp import MLP
from curated_retraining.preferences.learned import collect
from curated_retraining.types import Array, Static

NUM, POINTS, PASSES, REPEATS = 50_000, 20_000, 10, 3
TRAINING = {"steps": 3000, "batch_size": 256, "clip": None, "learning_rate": optax.cosine_decay_schedule(8e-3, 3000)}
NETWORK = MLP(out=1)
TRUTH = cr.distance(jnp.array([2.0, 0.0]), r_min=0.0, gamma=2.0)
EMA = 0.999


def main() -> None:
    """Prints a row a way to fit: the median of three times after compilation, the processor's too, and both losses."""
    fit_key, fresh_key = jax.random.split(jax.random.key(0))
    choices_key, _ = jax.random.split(fit_key)  # as `learned` splits its key: the same comparisons for all
    pool = cr.ring(jax.random.key(1), POINTS).x
    ask = jax.jit(lambda key: collect(key, pool, TRUTH, cr.luce(), k=2, comparisons=NUM)[:2])
    seen, fresh = ask(choices_key), ask(fresh_key)
    preference = preferences.learned(NETWORK, TRUTH, cr.luce(), pool, comparisons=NUM, **TRAINING)

    def ours(preference):
        return preference.init(fit_key)

    def reward_of(params):
        return jnp.asarray(NETWORK.apply(params, pool))[:, 0]

    online, longer = (Partial(one_by_one, Static(passes), pool, *seen) for passes in (1, PASSES))
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, {NUM:,} comparisons, medians of {REPEATS}\n")
    print("| way to fit | s | CPU s | loss | on fresh comparisons |\n| --- | --- | --- | --- | --- |")
    state, seconds = timed(ours, preference)
    batches = f"{TRAINING['steps']:,} steps of {TRAINING['batch_size']}"
    print(row(f"ours, {batches}, with the asking", seconds, pool, preference.reward(state, pool), seen, fresh))
    (last, average), seconds = timed(lambda fit: fit(), online)
    print(row("one by one, one pass, last parameters", seconds, pool, reward_of(last), seen, fresh))
    print(row("the same, average", seconds, pool, reward_of(average), seen, fresh))
    (last, _), seconds = timed(lambda fit: fit(), longer)
    print(row(f"one by one, {PASSES} passes, to convergence", seconds, pool, reward_of(last), seen, fresh))
    print(row("r itself", None, pool, TRUTH(pool), seen, fresh))


def one_by_one(times: Static, pool: Array, rows: Array, chosen: Array) -> tuple[Any, Any]:
    """Adam on one comparison a step: the last parameters and their moving average."""
    passes = times.value
    init_key, order_key = jax.random.split(jax.random.key(2))
    rate = 1e-3 if passes == 1 else optax.cosine_decay_schedule(1e-3, passes * NUM)
    optimizer = optax.adam(rate)
    params = NETWORK.init(init_key, pool[:1])

    def of_one(params, index):
        return loss(jnp.asarray(NETWORK.apply(params, pool[rows[index]]))[:, 0], chosen[index])

    def step(carry, index):
        params, average, moments = carry
        gradient = jax.grad(of_one)(params, index)
        updates, moments = optimizer.update(gradient, moments, params)
        params = optax.apply_updates(params, updates)
        return (params, optax.incremental_update(params, average, 1 - EMA), moments), None

    shuffled = [jax.random.permutation(key, NUM) for key in jax.random.split(order_key, passes)[1:]]
    order = jnp.concatenate([jnp.arange(NUM), *shuffled])
    (params, average, _), _ = jax.lax.scan(step, (params, params, optimizer.init(params)), order)
    return params, average


def loss(reward: Array, chosen: Array) -> Array:
    """−log of the probability of what was chosen, for rewards `[..., 2]` of both."""
    return optax.softmax_cross_entropy_with_integer_labels(reward, chosen)


def timed(call: Callable, argument: Any) -> tuple[Any, np.ndarray]:
    """What a compiled call returns, and the medians of its seconds and of those on all cores together."""
    program = jax.jit(call).lower(argument).compile()
    times = []
    for _ in range(REPEATS):
        began = np.array([time.perf_counter(), time.process_time()])
        result = jax.block_until_ready(program(argument))
        times.append(np.array([time.perf_counter(), time.process_time()]) - began)
    return result, np.median(times, axis=0)


def row(name: str, seconds: np.ndarray | None, pool: Array, reward: Array, *choices: tuple[Array, Array]) -> str:
    """A row of the table for rewards of the points of the pool, `[n]`."""
    cells = []
    for rows, chosen in choices:
        own, least = (loss(values[rows], chosen) for values in (reward, TRUTH(pool)))
        cells.append(f"{own.mean():.4f} ({(own - least).std() / NUM**0.5:.4f})")
    spent = ["", ""] if seconds is None else [f"{value:.2f}" for value in seconds]
    return f"| {' | '.join([name, *spent, *cells])} |"


if __name__ == "__main__":
    main()
