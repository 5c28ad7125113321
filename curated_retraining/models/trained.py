"""The only optimiser loop: stochastic gradients on batches drawn from weighted points."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from curated_retraining.data import cumulative, draw_index, spread
from curated_retraining.types import Array, Dataset, PRNGKey, State, continuous

MOST_AHEAD, ROOM = 64, 2**23  # steps that are prepared at once, and the bytes that they may take


class Trained(NamedTuple):
    """What an optimiser loop keeps from one fit to the next."""

    params: State
    average: State  # exponential moving average of `params`: what samples and densities use
    optimizer: State
    event: Array  # [*event], zeros: the shape and dtype of a point, of each leaf where a point has several


class Trainer(NamedTuple):
    """The first half of a `Model` whose state is `Trained`."""

    init: Callable[[PRNGKey, Array], Trained]
    fit: Callable[[PRNGKey, Trained, Dataset], Trained]


def trained(
    init_params: Callable[[PRNGKey, Array], State],
    loss: Callable[[PRNGKey, State, Array], Array],
    *,
    prepare: Callable[[PRNGKey, Array], State] | None = None,
    steps: int = 500,
    batch_size: int = 512,
    learning_rate: float | optax.Schedule = 1e-3,
    clip: float | None = 1.0,
    ema: float = 0.999,
    carry_optimizer: bool = False,
    optimizer: optax.GradientTransformation | None = None,
) -> Trainer:
    """Minimises `loss(key, params, x [batch_size, *event]) -> []` in expectation over the weighted points.

    Args:
        init_params: key, example points -> parameters.
        prepare: (key, a batch) -> what `loss` takes in its place: all that needs no parameters, such as noise and
            times. It is done for many steps at once, which is faster than in `loss`.
        steps: gradient steps a fit; each draws its own batch, with replacement, by weight.
        learning_rate: Adam's, or a schedule of it, counted from the last reset of the optimiser.
        clip: the largest global norm of a gradient; None leaves gradients as they are.
        ema: decay of the average a step, in [0, 1); in step t of a fit at most (1 + t) / (10 + t), so that the average,
            which starts at the parameters, forgets them within a short fit too.
        carry_optimizer: whether the optimiser's state passes from one fit to the next or is reset.
        optimizer: in place of clipped Adam; `learning_rate` and `clip` are then unused.

    The points may be a pytree of arrays with one leading axis, such as images and their labels.
    A fit starts from the parameters (not the average) of the last one; wrap the model in `from_scratch` for the other.
    """
    if steps < 1 or batch_size < 1:
        raise ValueError(f"steps={steps}, batch_size={batch_size}: training needs 1 or more of each")
    if not 0 <= ema < 1:
        raise ValueError(f"ema={ema} is not a decay: take a number in [0, 1)")
    if optimizer is None:
        clipping = optax.identity() if clip is None else optax.clip_by_global_norm(clip)
        optimizer = optax.chain(clipping, optax.adam(learning_rate))

    def init(key, x):
        params = init_params(key, x)
        event = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[0]), x)
        return Trained(params, params, optimizer.init(params), event)

    def fit(key, state, data):
        sums = cumulative(data.weight)

        def drawn(batch_key, prepare_key):
            rows = draw_index(batch_key, sums, batch_size)
            batch = spread(jax.tree.map(lambda leaf: leaf[rows], data.x))
            return batch if prepare is None else prepare(prepare_key, batch)

        def step(state, inputs):
            loss_key, batch, t = inputs
            gradient = jax.grad(loss, argnums=1)(loss_key, state.params, batch)
            updates, moments = optimizer.update(gradient, state.optimizer, state.params)
            params = optax.apply_updates(state.params, updates)
            decay = jnp.minimum(ema, (1 + t) / (10 + t))
            average = optax.incremental_update(params, state.average, 1 - decay)  # in float64 where that is enabled
            average = jax.tree.map(lambda new, old: new.astype(old.dtype), average, state.average)
            return state._replace(params=params, average=average, optimizer=moments), None

        def block(state, inputs):
            batch_keys, prepare_keys, loss_keys, t = inputs
            return jax.lax.scan(step, state, (loss_keys, jax.vmap(drawn)(batch_keys, prepare_keys), t))[0], None

        moments = state.optimizer if carry_optimizer else optimizer.init(state.params)
        begin = state._replace(average=state.params, optimizer=moments)
        batch_keys, prepare_keys, loss_keys = jax.random.split(key, (3, steps))
        ahead = _ahead(steps, jax.eval_shape(drawn, key, key))
        inputs = batch_keys, prepare_keys, loss_keys, jnp.arange(steps)
        return jax.lax.scan(block, begin, jax.tree.map(lambda leaf: leaf.reshape(-1, ahead), inputs))[0]

    return Trainer(init, fit)


def of_floats(trainer: Trainer) -> Trainer:
    """`trainer` for points that are moved or noised: float32 at least; integers are refused."""

    def init(key, x):
        return trainer.init(key, continuous(x))

    def fit(key, state, data):
        return trainer.fit(key, state, Dataset(continuous(data.x), data.weight))

    return Trainer(init, fit)


def _ahead(steps: int, batch: State) -> int:
    """How many steps are prepared at once: a divisor of all, so that their program is compiled once."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(batch))
    most = min(MOST_AHEAD, max(1, ROOM // max(size, 1)))  # a batch may be of nothing
    return max(ahead for ahead in range(1, most + 1) if steps % ahead == 0)
