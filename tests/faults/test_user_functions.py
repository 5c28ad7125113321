"""Mistakes in a user's functions end in an error that names the function."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import metrics, preferences, rewards

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


def first(x):
    return x[:, 0]


def classes(x):
    return jnp.argmax(x, axis=1)


def raises(x):
    raise KeyError("absent")


def log_mass(state, x):
    return x.sum()


def step(reward=first, **parts):
    given = {"curate": GROUPS, "mixing": cr.replace(), "pool_size": 8, "model": MODEL} | parts
    return cr.retraining(given.pop("model"), reward=reward, **given)


def traced(step, begun=None):
    """Nothing is compiled: all of these are mistakes by their shapes or in the tracing."""
    jax.eval_shape(step, jax.random.key(1), begun or state())


def state():
    return cr.start(jax.random.key(0), MODEL, cr.replace(), REAL, slot=4)


REAL = cr.uniform(jnp.eye(2))
MODEL = cr.finite(jnp.eye(2))
GROUPS = cr.k_way(2, cr.luce())


@pytest.mark.parametrize(
    "reward", [branches, loops_until, leaves_for_numpy, takes_a_python_number, selects, indexes_a_list]
)
def test_a_reward_that_asks_for_values_is_named(reward):
    with pytest.raises(ValueError, match=rf"the reward {reward.__name__} asks for values while it is traced \(line"):
        traced(step(reward))


def test_a_reward_that_keeps_what_it_saw_is_named():
    """By JAX itself, where the program is called; its check for keys used twice would fail before."""
    LEFT.clear()
    traced(step(remembers))
    with jax.debug_key_reuse(False), pytest.raises(jax.errors.UnexpectedTracerError, match="remembers"):
        jax.jit(step(remembers))(jax.random.key(1), state())


@pytest.mark.parametrize("reward", [returns_nothing, returns_a_list, one_number, one_short, a_column])
def test_a_reward_that_gives_no_number_a_point_is_named(reward):
    with pytest.raises(
        ValueError, match=rf"the reward {reward.__name__} returned (None|a list|the shape .*) for 8 points"
    ):
        traced(step(reward))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("curator", {"curate": lambda key, pool, reward: branches(pool)}),
        ("metrics", {"metrics": lambda record: branches(record.pool)}),
        ("mixing", {"mixing": cr.Mixing(lambda real, slot: (), lambda key, memory, curated: branches(curated.x))}),
        ("sampler", {"model": MODEL._replace(sample=lambda key, state, num: branches(state))}),
        ("fit", {"model": MODEL._replace(fit=lambda key, state, data: branches(state))}),
    ],
)
def test_each_part_that_asks_for_values_is_told(part, value):
    with pytest.raises(ValueError, match=f"the {part} branches asks for values"):
        traced(step(**value))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("reward", {"reward": cr.scale(Partial(branches), 2.0)}),
        ("reward", {"reward": cr.stack(first, branches)}),
        ("reward", {"reward": rewards.entropy_bonus(first, branches, 2)}),
        ("reward", {"reward": preferences.drifting(rewards.distance, branches)}),
        ("reward", {"reward": functools.partial(lambda power, x: branches(x) ** power, 3)}),
        ("metrics", {"metrics": metrics.join(metrics.reward_moments(), lambda record: branches(record.pool))}),
        ("curator", {"curate": cr.quota(GROUPS, branches, jnp.array([0.5, 0.5]))}),
        ("curator", {"curate": cr.k_way(2, cr.flipped(cr.luce(), 0.1, where=branches))}),
        ("fit", {"model": MODEL._replace(fit=lambda *args: trained_by(branches))}),
    ],
)
def test_the_function_that_asks_is_named_wherever_it_is_held(part, value):
    line = branches.__code__.co_firstlineno + 1
    with pytest.raises(ValueError, match=rf"the {part} branches asks .* \(line {line} of test_user_functions.py\)"):
        traced(step(**value), state()._replace(preference=jnp.zeros((), int)))  # `drifting`'s; the others have none


def trained_by(loss):
    init, fit = cr.trained(
        lambda key, x: jnp.zeros(2), lambda key, params, x: loss(params).sum(), steps=1, batch_size=2
    )
    return fit(jax.random.key(0), init(jax.random.key(0), REAL.x), REAL)


def test_what_ours_ask_for_is_told_of_the_function_they_were_given():
    """`numpy.asarray` as a reward: no function of the user's is in the traceback."""
    with pytest.raises(ValueError, match="the reward asarray asks for values while it is traced: take"):
        traced(step(cr.scale(np.asarray, 1.0)))


@pytest.mark.parametrize("held", [functools.partial(returns_nothing), Partial(functools.partial(returns_nothing))])
def test_a_function_is_named_within_what_holds_it(held):
    with pytest.raises(ValueError, match="the reward returns_nothing returned None for 8 points"):
        traced(step(held))


def test_models_that_interact_are_told_as_one_alone_is():
    def interacting(reward):
        models, real = [MODEL], [REAL]
        step = cr.interacting(models, reward=[reward], curate=[GROUPS], pool_size=[8], shares=[[0, 0, 1]])
        traced(step, cr.start_interacting(jax.random.key(0), models, real, reward=[reward]))

    interacting(first)
    with pytest.raises(ValueError, match="the reward branches asks for values"):
        interacting(branches)
    with pytest.raises(ValueError, match="the reward a_column returned the shape"):
        interacting(a_column)


def sampler(value):
    return {"model": MODEL._replace(sample=lambda key, state, num: value)}


def fit(change):
    return {"model": MODEL._replace(fit=lambda key, state, data: change(state))}


def mixing(mix):
    return {"mixing": cr.Mixing(lambda real, slot: (), lambda key, memory, curated: mix(curated))}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (sampler(jnp.zeros((4, 1))), "the sampler <lambda> returned the shape (4, 1) for pool_size=8: return so many"),
        (sampler(jnp.zeros(2)), "the sampler <lambda> returned the shape (2,) for pool_size=8"),
        (sampler((jnp.zeros((8, 1)),)), "the sampler <lambda> returned a tuple for pool_size=8"),
        (sampler([0.0] * 8), "the sampler <lambda> returned a list for pool_size=8"),
        ({"curate": lambda key, pool, reward: pool}, "the curator <lambda> returned the shape (8, 2): return"),
        ({"curate": lambda key, pool, reward: (pool, reward)}, "the curator <lambda> returned a tuple: return"),
        (
            {"curate": lambda key, pool, reward: cr.Dataset(pool, reward[1:])},
            "the curator <lambda> returned Dataset(float32[8, 2], float32[7]): return as many weights as points",
        ),
        ({"curate": lambda key, pool, reward: cr.Dataset(pool, reward > 0)}, "bool[8]): return as many weights"),
        ({"curate": cr.luce()}, "a choice is made a curator by k_way(k, choice)"),
        (mixing(lambda curated: curated), "the mixing <lambda> returned a Dataset: return two things"),
        (mixing(lambda curated: (curated.x, ())), "the mixing <lambda> returned a tuple: return two things"),
        (mixing(lambda curated: (curated, curated.x)), "returned float32[4, 2] as the memory, which was nothing"),
        (fit(lambda state: (state, state)), "the fit <lambda> returned float32[2] as the state[0], which was nothing"),
        (fit(lambda state: state[:1]), "the fit <lambda> returned float32[1] as the state, which was float32[2]"),
        (fit(lambda state: state > 0), "the fit <lambda> returned bool[2] as the state, which was float32[2]"),
        ({"metrics": lambda record: record.pool}, "the metrics <lambda> returned the shape (8, 2): return a dict"),
        ({"metrics": lambda record: None}, "the metrics <lambda> returned None: return a dict"),
        ({"metrics": lambda record: {"a": None}}, "the metrics <lambda> returned None as a: return a dict of numbers"),
        (
            {"metrics": metrics.proportions(a_column, 2)},
            "the metrics a_column fails: ValueError: a label returned (8, 2, 1)",
        ),
        (
            {"metrics": metrics.kl_on_grid(MODEL._replace(log_prob=log_mass), REAL.x, 1.0, first)},
            "log_prob returned ()",
        ),
        ({"metrics": metrics.kl_on_grid(MODEL, REAL.x, 1.0, one_number)}, "the reference returned () for 2 points"),
        ({"reward": rewards.entropy_bonus(one_number, returns_nothing, 2)}, "a label returned NoneType for 8 points"),
        ({"reward": rewards.entropy_bonus(one_number, classes, 2)}, "a reward returned () for 8 points: return one"),
        ({"metrics": lambda record: {"effective_size": 1.0}}, "the metrics <lambda> returned effective_size, which"),
        (
            {"reward": lambda x: x[:, :1]},
            "end the reward in [:, 0], or combine its annotators first (the reward <lambda> returned float32[8, 1])",
        ),
        ({"reward": truths}, "let the reward end in .astype(float) (the reward truths returned bool[8])"),
        ({"reward": raises}, "the reward raises fails (line "),
        ({"reward": cr.scale(raises, 2.0)}, "of test_user_functions.py): KeyError: 'absent'"),
        ({"reward": lambda x: x @ x.T}, "not the shape (2, 8): end the reward in [:, 0], or"),
    ],
)
def test_what_a_part_should_return_is_told(value, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        traced(step(**value))


def test_points_of_another_shape_than_the_real_data_are_told():
    with pytest.raises(ValueError, match=r"points of shapes \[\(2,\), \(3,\)\] do not mix: let the sampler draw"):
        traced(step(**sampler(jnp.zeros((8, 3))), mixing=cr.with_real(1.0)), state()._replace(memory=REAL))


def test_a_state_of_the_same_numbers_in_another_structure_is_told():
    """A list for a tuple: a scan takes one kind alone."""
    model = cr.Model(lambda key, x: (x[0],), lambda key, state, data: list(state), MODEL.sample, None)
    model = model._replace(sample=lambda key, state, num: jnp.tile(state[0], (num, 1)))
    begun = cr.LoopState(jnp.zeros((), int), (jnp.ones(2),), (), ())
    with pytest.raises(ValueError, match=r"the fit <lambda> returned the state with the structure PyTreeDef\(\[\*\]\)"):
        traced(step(model=model), begun)


@pytest.mark.parametrize("size", [0, 8.0])
def test_a_pool_size_is_a_whole_number(size):
    with pytest.raises(ValueError, match=f"pool_size={size} is not a whole number of at least 1"):
        step(pool_size=size)


def test_real_data_are_weighted_points():
    with pytest.raises(ValueError, match=r"the real data are of the type ArrayImpl: give a Dataset, as uniform\(x\)"):
        cr.start(jax.random.key(0), MODEL, cr.replace(), jnp.eye(2), slot=4)
    with pytest.raises(ValueError, match="the real data are of the type tuple"):
        cr.start_interacting(jax.random.key(0), [MODEL], [(jnp.eye(2), jnp.ones(2) / 2)], reward=[first])


@pytest.mark.parametrize("num", [-1, 2.0])
def test_a_number_of_generations_is_whole(num):
    with pytest.raises(ValueError, match=f"num={num} is not a whole number of at least 0"):
        cr.run(jax.random.key(1), state(), step(), num)
