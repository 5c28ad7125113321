"""A reward fitted to 50,000 comparisons by `preferences.learned`, against Adam on one comparison at a time.

Points of the ring are compared, two at a time, by people who feel −2 ‖x − (2, 0)‖. Ours is what a generation of the
loop does: it draws the pairs, asks, and fits by minibatches at a rate that falls to zero by a cosine. One by one is
Adam on one comparison a step: at 1e-3 and in their order for one pass, of which the last parameters or their moving
average are read; to convergence, ten shuffled passes at a rate that falls likewise. All are compiled scans, so that no
difference is the interpreter's. Losses are in nats a comparison.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

import curated_retraining as cr
from benchmarks.table import Row, turns
from curated_retraining import preferences
from curated_retraining.networks.mlp import MLP
from curated_retraining.preferences.learned import collect
from curated_retraining.types import Array, Static

NUM, POINTS, PASSES = 50_000, 20_000, 10
TRAINING = {"steps": 3000, "batch_size": 256, "clip": None, "learning_rate": optax.cosine_decay_schedule(8e-3, 3000)}
NETWORK = MLP(out=1)
TRUTH = cr.distance(jnp.array([2.0, 0.0]), r_min=0.0, gamma=2.0)
EMA = 0.999


def rows(repeats: int) -> list[Row]:
    """A row a way to go one by one."""
    fit_key, fresh_key = jax.random.split(jax.random.key(0))
    choices_key, _ = jax.random.split(fit_key)  # as `learned` splits its key: the same comparisons for all
    pool = cr.ring(jax.random.key(1), POINTS).x
    ask = jax.jit(lambda key: collect(key, pool, TRUTH, cr.luce(), k=2, comparisons=NUM)[:2])
    seen, fresh = ask(choices_key), ask(fresh_key)
    preference = preferences.learned(NETWORK, TRUTH, cr.luce(), pool, comparisons=NUM, **TRAINING)
    online, longer = (Partial(one_by_one, Static(passes), pool, *seen) for passes in (1, PASSES))
    learn = jax.jit(lambda preference: preference.init(fit_key))
    play = jax.jit(lambda fit: fit())

    def losses(reward):
        return "/".join(f"{loss(reward[rows], chosen).mean():.4f}" for rows, chosen in (seen, fresh))

    def reward_of(params):
        return jnp.asarray(NETWORK.apply(params, pool))[:, 0]

    begun, (ours, once, often) = turns(
        [lambda seed: learn(preference), *(lambda seed, f=f: play(f) for f in (online, longer))], repeats
    )
    mine = losses(preference.reward(learn(preference), pool))
    work = f"{NUM:,} comparisons asked and fitted, {TRAINING['steps']:,} steps of {TRAINING['batch_size']}"

    def row(passes, theirs, fitted, wanted):
        quality = (
            f"loss on these/fresh comparisons: {mine}, peer {losses(reward_of(fitted))}, r itself {losses(TRUTH(pool))}"
        )
        return Row(work, ours, begun[0] - ours, f"Adam one by one, {passes}", theirs, wanted, quality)

    return [
        row("one pass, average", once, play(online)[1], None),
        row(f"{PASSES} passes", often, play(longer)[0], None),
    ]


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
