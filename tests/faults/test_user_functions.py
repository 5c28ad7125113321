"""Mistakes in a user's functions end in an error that names the function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr

LEFT = []


def branches(x, *rest):
    return x if x.sum() > 0 else -x


def loops_until(x, *rest):
    while x.sum() > 1:
        x = x / 2
    return x[:, 0]


def leaves_for_numpy(x):
    return np.tanh(np.asarray(x)[:, 0])


def takes_a_python_number(x):
    return x[:, 0] * float(x.max())


def selects(x):
    return x[x[:, 0] > 0][:, 0]


def indexes_a_list(x):
    return [x[:, 0], x[:, 1]][jnp.argmax(x[0])]


def remembers(x):
    LEFT.append(x[:, 0])
    return x[:, 0] + LEFT[0]


def returns_nothing(x):
    del x


def returns_a_list(x):
    return [x[0, 0]] * 8


def one_number(x):
    return x.mean()


def one_short(x):
    return x[1:, 0]


def a_column(x):
    return x[..., None]


def truths(x):
    return x[:, 0] > 0


def step(reward=lambda x: x[:, 0], **parts):
    given = {"curate": cr.k_way(2, cr.luce()), "mixing": cr.replace(), "metrics": lambda record: {}} | parts
    model = given.pop("model", cr.finite(jnp.eye(2)))
    return cr.retraining(model, reward=reward, pool_size=8, **given)


def traced(step):
    """Nothing is compiled: all of these are mistakes by their shapes or in the tracing."""
    jax.eval_shape(step, jax.random.key(1), state())


def state():
    return cr.start(jax.random.key(0), cr.finite(jnp.eye(2)), cr.replace(), REAL, slot=4)


REAL = cr.uniform(jnp.eye(2))


@pytest.mark.parametrize(
    "reward", [branches, loops_until, leaves_for_numpy, takes_a_python_number, selects, indexes_a_list]
)
def test_a_reward_that_asks_for_values_is_named(reward):
    with pytest.raises(ValueError, match=rf"the reward {reward.__name__} asks for values while it is traced: take"):
        traced(step(reward))


def test_a_reward_that_keeps_what_it_saw_is_named():
    """By JAX itself, where the program is called; its check for keys used twice would fail before."""
    LEFT.clear()
    traced(step(remembers))
    with jax.debug_key_reuse(False), pytest.raises(jax.errors.UnexpectedTracerError, match="remembers"):
        jax.jit(step(remembers))(jax.random.key(1), state())


@pytest.mark.parametrize("reward", [returns_nothing, returns_a_list, one_number, one_short, a_column])
def test_a_reward_that_gives_no_number_a_point_is_named(reward):
    with pytest.raises(ValueError, match=rf"the reward {reward.__name__} returned the shape .* for 8 points"):
        traced(step(reward))


def test_a_reward_of_truths_is_refused():
    with pytest.raises(ValueError, match="real rewards, not bool"):
        traced(step(truths))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("curator", {"curate": lambda key, pool, reward: branches(pool)}),
        ("metrics", {"metrics": lambda record: branches(record.pool)}),
        ("mixing", {"mixing": cr.Mixing(lambda real, slot: (), lambda key, memory, curated: branches(curated.x))}),
        ("sampler", {"model": cr.finite(jnp.eye(2))._replace(sample=lambda key, state, num: branches(state))}),
        ("fit", {"model": cr.finite(jnp.eye(2))._replace(fit=lambda key, state, data: branches(state))}),
    ],
)
def test_each_part_that_asks_for_values_is_told(part, value):
    with pytest.raises(ValueError, match=f"the {part} <lambda> asks for values"):
        traced(step(**value))


def test_the_function_within_partials_is_the_one_that_is_named():
    with pytest.raises(ValueError, match="the reward branches asks for values"):
        traced(step(cr.scale(Partial(branches), 2.0)))
