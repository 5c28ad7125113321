"""Any of a user's functions with anything that may be wrong with it: it is named, or what it does is no harm."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fuzzing import fuzzed
from hypothesis import strategies as st
from jax.tree_util import Partial
from test_user_functions import GROUPS, LEFT, REAL, classes, first

import curated_retraining as cr
from curated_retraining import metrics, preferences, rewards


def fine(function):
    def fine(*args):
        return function(*args)

    return fine


def of_key(key):
    del key
    return jnp.zeros(())


OWN = cr.Model(
    fine(lambda key, x: x[0]),
    fine(lambda key, state, data: data.weight @ data.x),
    fine(lambda key, state, num: state[None] + jax.random.normal(key, (num, 2))),
    fine(lambda state, x: -jnp.sum((x - state[None]) ** 2, axis=1)),
)
MIXED = cr.Mixing(fine(lambda real, slot: real.x.sum()), fine(lambda key, memory, curated: (curated, memory + 1.0)))
LIKED = cr.Preference(
    fine(of_key),
    fine(lambda state, x: x[:, 0] + state),
    fine(lambda key, state, record: state + record.reward.sum()),
)
SHARES = jnp.array([0.5, 0.5])


def trains(**functions):
    """A model whose state `trained` makes."""
    parts = {"init_params": fine(lambda key, x: x[0]), "loss": fine(lambda key, params, x: jnp.sum(params * x[0]))}
    init, fit = cr.trained(**parts | functions, steps=1, batch_size=2)
    sample = fine(lambda key, state, num: state.params[None] + jax.random.normal(key, (num, 2)))
    return {"model": cr.Model(init, fit, sample, None)}


def test_what_ours_fail_at_is_told_of_the_function_that_returned_it():
    """No line of it is in the traceback, and only a closure of ours holds it."""
    model = trains(loss=functools.partial(lambda name, *args: None, "loss"))["model"]
    with pytest.raises(ValueError, match=r"the fit <lambda>.* fails: TypeError: Gradient only defined for scalar"):
        jax.eval_shape(lambda key: cr.start(key, model, cr.replace(), REAL, slot=4), jax.random.key(0))


# Each as it should be, and the parts of a loop in which another stands in its place.
USERS = {
    "reward": (first, lambda f: {"reward": f}),
    "added reward": (first, lambda f: {"reward": cr.combine([f, fine(first)], SHARES)}),
    "rewarded class": (classes, lambda f: {"reward": rewards.entropy_bonus(fine(first), f, 2)}),
    "bonus": (first, lambda f: {"reward": rewards.entropy_bonus(f, fine(classes), 2)}),
    "classifier": (lambda x: x, lambda f: {"reward": rewards.confidence(rewards.tempered(f, 2.0))}),
    "density": (first, lambda f: {"reward": rewards.log_density(f)}),
    "choice": (lambda key, x, reward: reward, lambda f: {"curate": cr.k_way(2, f)}),
    "weighed choice": (lambda key, x, reward: reward, lambda f: {"curate": cr.inverse_propensity(2, f)}),
    "duel": (lambda x, y: jax.nn.sigmoid(x[0] - y[0]), lambda f: {"curate": cr.k_way(2, cr.pairwise(f))}),
    "where": (lambda x: x[:, 0] > 0, lambda f: {"curate": cr.k_way(2, cr.flipped(cr.luce(), 0.1, where=f))}),
    "curator": (lambda key, pool, reward: cr.uniform(pool[:4]), lambda f: {"curate": f}),
    "rounds": (lambda key, pool, reward: cr.uniform(pool[:4]), lambda f: {"curate": cr.rounds(f, 2)}),
    "quota": (classes, lambda f: {"curate": cr.quota(GROUPS, f, SHARES)}),
    "metrics": (lambda record: {"mean": record.reward.mean()}, lambda f: {"metrics": f}),
    "joined": (lambda record: {"mean": record.reward.mean()}, lambda f: {"metrics": metrics.join(f)}),
    "shares": (classes, lambda f: {"metrics": metrics.proportions(f, 2)}),
    "init": (OWN.init, lambda f: {"model": OWN._replace(init=f)}),
    "fit": (OWN.fit, lambda f: {"model": OWN._replace(fit=f)}),
    "sample": (OWN.sample, lambda f: {"model": OWN._replace(sample=f)}),
    "log_prob": (OWN.log_prob, lambda f: {"metrics": metrics.kl_on_grid(OWN._replace(log_prob=f), REAL.x, 1.0, first)}),
    "memory": (MIXED.init, lambda f: {"mixing": MIXED._replace(init=f)}),
    "mix": (MIXED.mix, lambda f: {"mixing": MIXED._replace(mix=f)}),
    "fresh": (lambda key: REAL, lambda f: {"mixing": cr.fresh(f, 1.0)}),
    "first taste": (LIKED.init, lambda f: {"reward": LIKED._replace(init=f)}),
    "taste": (LIKED.reward, lambda f: {"reward": LIKED._replace(reward=f)}),
    "update": (LIKED.update, lambda f: {"reward": LIKED._replace(update=f)}),
    "features": (lambda x: x, lambda f: {"reward": preferences.co_evolving(f, SHARES)}),
    "path": (lambda t: jnp.array([1.0, 0.0]) * t, lambda f: {"reward": preferences.drifting(rewards.distance, f)}),
    "init_params": (lambda key, x: x[0], lambda f: trains(init_params=f)),
    "prepare": (lambda key, x: x, lambda f: trains(prepare=f)),
    "loss": (lambda key, params, x: jnp.sum(params * x[0]), lambda f: trains(loss=f)),
}
FAULTS = ("branches", "counts", "leaves for numpy", "indexes", "raises", "lacks", "multiplies")
HARMLESS = ("prints", "keeps")
HELD = [lambda f: f, Partial, functools.partial, lambda f: Partial(functools.partial(f)), jax.jit]
OTHERS = st.one_of(
    st.sampled_from([None, [], [1.0, 2.0], "text", {}, (), object(), np.inf]),
    st.builds(
        np.zeros,
        st.lists(st.sampled_from([0, 1, 2, 4, 7, 8]), max_size=3),
        st.sampled_from(["float32", "float16", "int32", "uint8", "bool", "complex64"]),
    ),
)


@fuzzed(st.sampled_from([*USERS]), st.one_of(st.sampled_from([*FAULTS, *HARMLESS]), OTHERS), st.sampled_from(HELD))
def test_any_mistake_in_any_function_is_told(part, wrong, held):
    """Or does no harm: two generations are traced, so that the second takes what the first returned."""
    good, parts = USERS[part]

    def mistaken(*args):
        leaves = [leaf for leaf in jax.tree.leaves(args) if isinstance(leaf, jax.Array)]
        numbers = [leaf.sum() for leaf in leaves if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
        seen = sum(numbers) if numbers else jax.random.uniform(*leaves)
        match wrong:
            case "branches":
                return good(*args) if seen > 0 else None
            case "counts":
                float(seen)
            case "leaves for numpy":
                np.asarray(seen)
            case "indexes":
                [0, 1][seen.astype(int)]
            case "raises":
                raise KeyError("absent")
            case "lacks":
                seen.nothing  # noqa: B018
            case "multiplies":
                jnp.ones((2, 3)) @ jnp.ones((2, 3))
            case "prints":
                print(seen)
            case "keeps":
                LEFT.append(seen)
            case _:
                return jnp.asarray(wrong) if isinstance(wrong, np.ndarray) else wrong
        return good(*args)

    given = {"model": OWN, "reward": fine(first), "curate": GROUPS, "mixing": cr.with_real(1.0)}
    given |= parts(held(mistaken))

    def play(key, x):
        begun = cr.start(key, given["model"], given["mixing"], cr.uniform(x), slot=4, reward=given["reward"])
        return cr.run(key, begun, cr.retraining(given.pop("model"), **given, pool_size=8), 2)

    with jax.debug_key_reuse(False), jax.numpy_rank_promotion("allow"):  # as a user has it
        try:
            jax.eval_shape(play, jax.random.key(0), REAL.x)
        except ValueError as error:
            told = str(error).partition("\n")[0]
        else:
            told = ""
    if isinstance(wrong, str) and wrong != "text":
        assert ("mistaken" in told) == (wrong in FAULTS), (part, wrong, told)
    assert not told or re.search("mistaken|fine|line .* of test_any|let the sampler draw", told), (part, wrong, told)
