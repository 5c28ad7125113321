import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining.types import Dataset, Mixing, Model, Preference

run = jax.jit(cr.run, static_argnums=3)
REAL = cr.uniform(jnp.linspace(-1, 1, 24).reshape(12, 2))


def shifting() -> Model:
    """Unit Gaussians around a mean `[*event]`, of plain functions."""

    def fit(key, state, data):
        del key, state
        return jnp.tensordot(data.weight, data.x, 1)

    def sample(key, state, num):
        return state[None] + jax.random.normal(key, (num, *state.shape))

    return Model(lambda key, x: x[0], fit, sample, None)


def tokens(vocabulary) -> Model:
    """Sequences of independent tokens: the state is the probabilities `[length, vocabulary]`."""

    def fit(key, state, data):
        del key, state
        return jnp.tensordot(data.weight, jax.nn.one_hot(data.x, vocabulary), 1)

    def sample(key, state, num):
        return jax.random.categorical(key, jnp.log(state)[None], shape=(num, state.shape[0]))

    return Model(lambda key, x: jnp.zeros((*x.shape[1:], vocabulary)), fit, sample, None)


MODEL = shifting()


def first(x):
    return x[:, 0]


def describe(record):
    return {"mean": record.model, "pool": record.pool, "reward": record.reward, "kept": record.curated.x}


def build(reward=first, *, lam=1.0, temperature=0.5, model=MODEL, mixing=None, metrics=describe, k=2, pool_size=8):
    """A step and the mixing that its start needs."""
    mixing = mixing or cr.with_real(lam)
    curate = cr.k_way(k, cr.luce(temperature))
    return cr.retraining(
        model, reward=reward, curate=curate, mixing=mixing, pool_size=pool_size, metrics=metrics
    ), mixing


def begin(mixing, seed=0, model=MODEL, real=REAL, slot=4, reward=None):
    return cr.start(jax.random.key(seed), model, mixing, real, slot=slot, reward=reward)


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module")
def course():
    """A step, its first state, and the state and history of four generations from there."""
    step, mixing = build(mixing=cr.accumulate(4))
    state = begin(mixing)
    return step, state, *run(jax.random.key(1), state, step, 4)


def test_where_a_run_is_cut_changes_no_bit(course):
    """The second part starts from numbers that were on the host, as after a kill."""
    step, state, whole, history = course
    cut, early = run(jax.random.key(1), state, step, 2)
    restored = jax.tree.map(jnp.asarray, jax.tree.map(np.array, cut))
    resumed, late = run(jax.random.key(1), restored, step, 2)
    assert_same_bits(resumed, whole)
    assert_same_bits(jax.tree.map(lambda a, b: np.concatenate([a, b]), early, late), history)
    assert int(whole.generation) == 4 and whole.generation.dtype == jnp.int32


def test_a_row_describes_the_model_that_drew_its_pool(course):
    """The model is the mean of what it was fitted to: the 12 real points, then 4 curated more in each generation."""
    _, state, end, history = jax.tree.map(np.asarray, course)
    real = np.asarray(REAL.x)
    np.testing.assert_array_equal(history["mean"][0], state.model)
    for t, model in enumerate([*history["mean"], end.model]):
        seen = np.concatenate([real, *history["kept"][:t]])
        np.testing.assert_allclose(model, seen.mean(axis=0), atol=1e-6)  # some tens of weights of order 1/28
    np.testing.assert_array_equal(history["reward"], history["pool"][..., 0])


def test_the_report_holds_the_metrics_and_the_effective_size(course):
    *_, history = course
    assert set(history) == {"mean", "pool", "reward", "kept", "effective_size"}
    np.testing.assert_allclose(history["effective_size"], [16, 20, 24, 28], rtol=1e-6)


def test_new_parameters_cause_no_retrace():
    traced = []

    def user(target, x):
        traced.append(x.shape)
        return -jnp.abs(x[:, 0] - target)

    def go(target, lam, temperature, seed):
        step, mixing = build(Partial(user, jnp.asarray(target)), lam=lam, temperature=temperature, pool_size=64)
        return run(jax.random.key(seed), begin(mixing, seed), step, 2)[0].model

    cases = [(0, 1, 0, 0), (5, 1, 0, 0), (0, 3, 0, 0), (0, 1, 100, 0), (0, 1, 0, 1)]
    means = [go(float(target), float(lam), float(temperature), seed) for target, lam, temperature, seed in cases]
    assert len(traced) == 1
    assert len(np.unique(np.stack(means), axis=0)) == 5


def test_large_arrays_of_a_reward_are_no_part_of_the_program():
    big = jax.random.normal(jax.random.key(2), (300, 300))
    step, mixing = build(Partial(lambda matrix, x: (x @ matrix[:2]).sum(axis=-1), big))
    program = run.lower(jax.random.key(1), begin(mixing), step, 2).as_text()
    assert len(program) < 8 * big.size  # a constant is written in 8 characters a number


def of_another_shape(x):
    return x[:, None]


@pytest.mark.parametrize(
    "reward",
    [
        of_another_shape,
        cr.scale(of_another_shape, 2.0),
        Preference(lambda key: (), lambda state, x: of_another_shape(x), lambda key, state, record: state),
    ],
)
def test_a_reward_of_another_shape_is_named(reward):
    step, mixing = build(reward)
    name = "<lambda>" if isinstance(reward, Preference) else "of_another_shape"
    with pytest.raises(ValueError, match=rf"{name} returned the shape \(8, 1, 2\) for 8 points"):
        step(jax.random.key(1), begin(mixing))


@pytest.mark.parametrize(("reward", "what"), [(lambda x: 1.0, "a float"), (lambda x: x[1:, 0], r"the shape \(7,\)")])
def test_a_reward_gives_a_number_to_each_point(reward, what):
    step, mixing = build(reward)
    with pytest.raises(ValueError, match=f"returned {what} for 8 points"):
        step(jax.random.key(1), begin(mixing))


@pytest.mark.parametrize("weight", [[0.0] * 4, [0.5] * 4, [0.5, 0.5, 0.5, -0.5], [0.5, 0.5, np.nan, 0.0]])
def test_real_data_whose_weights_do_not_sum_to_one_are_refused(weight):
    real = cr.Dataset(jnp.zeros((4, 1)), jnp.array(weight))
    for start in (
        lambda: begin(cr.replace(), real=real),
        lambda: cr.start_interacting(jax.random.key(0), [MODEL], [real], reward=[first]),
    ):
        with pytest.raises(ValueError, match=r"weight=.*(is no weight|does not sum to 1)"):
            start()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_weights_of_real_data_may_be_rounded(dtype):
    weight = jnp.full(3, 1 / 3, dtype)  # in bfloat16 they sum to 1.002
    begin(cr.replace(), real=cr.Dataset(jnp.zeros((3, 1)), weight))


def test_an_empty_pool_is_rejected():
    with pytest.raises(ValueError, match="pool_size=0"):
        build(pool_size=0)


def test_a_preference_changes_with_the_loop():
    """The reward is the state; the update adds the mean reward of the record to it: doubling, from what `init` gave."""
    doubling = Preference(
        init=lambda key: jnp.array(1.5),
        reward=lambda state, x: jnp.full(x.shape[0], state),
        update=lambda key, state, record: state + record.reward.mean(),
    )
    step = cr.retraining(
        MODEL, reward=doubling, curate=cr.everything(), mixing=cr.replace(), pool_size=4, metrics=describe
    )
    end, history = run(jax.random.key(1), begin(cr.replace(), reward=doubling), step, 3)
    np.testing.assert_array_equal(history["reward"][:, 0], [1.5, 3, 6])
    assert end.preference == 12


def test_each_generation_and_each_part_has_a_key_of_its_own():
    """All that a part makes is the bits of its key: what the start, three generations and their parts saw differs."""

    def spread(key, num):
        return cr.uniform(jnp.tile(jax.random.key_data(key), (num, 1)))

    model = Model(
        init=lambda key, x: jax.random.key_data(key),
        fit=lambda key, state, data: jnp.stack([jax.random.key_data(key), state[-1] if state.ndim > 1 else state]),
        sample=lambda key, state, num: spread(key, num).x,
        log_prob=None,
    )
    preference = Preference(
        init=jax.random.key_data,
        reward=lambda state, x: jnp.tile(state, (x.shape[0], 1)),
        update=lambda key, state, record: jax.random.key_data(key),
    )
    mixing = Mixing(lambda real, slot: (), lambda key, memory, curated: (spread(key, 4), memory))

    def seen(record):
        return {"seen": jnp.stack([record.pool[0], record.curated.x[0], record.train.x[0]])}

    step = cr.retraining(
        model,
        reward=preference,
        curate=lambda key, pool, reward: spread(key, 4),
        mixing=mixing,
        pool_size=4,
        metrics=lambda record: seen(record) | {"fit": record.model, "update": record.reward[0]},
    )
    state = begin(mixing, model=model, reward=preference)
    end, history = run(jax.random.key(1), state, step, 3)
    fits = np.concatenate([history["fit"][:, 0], end.model])  # the last row is the key of `init`, which stays
    updates = np.concatenate([history["update"], end.preference[None]])
    keys = np.concatenate([history["seen"].reshape(-1, 2), fits, updates])
    assert len(np.unique(keys, axis=0)) == len(keys) == 3 * 5 + 3


def test_a_sweep_over_seeds_and_lam_equals_separate_runs():
    def go(seed, lam):
        step, mixing = build(lam=lam)
        loop_key, start_key = jax.random.split(jax.random.key(seed))
        return cr.run(loop_key, cr.start(start_key, MODEL, mixing, REAL, slot=4), step, 2)

    seeds, lams = jnp.arange(2), jnp.array([0.0, 1.0, jnp.inf])
    many = jax.jit(jax.vmap(jax.vmap(go, (None, 0)), (0, None)))(seeds, lams)
    sizes = [1 / ((1 - share) ** 2 / 12 + share**2 / 4) for share in (0, 0.5, 1)]  # 12 real points, 4 curated
    np.testing.assert_allclose(many[1]["effective_size"][0, :, 1], sizes, rtol=1e-6)
    one = jax.jit(go)
    for i in range(2):
        for j in range(3):
            alone = one(seeds[i], lams[j])
            together = jax.tree.map(lambda leaf, at=(i, j): leaf[at], many)
            # the sums over 16 points of order 1 may be taken in another order
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), together, alone)


def test_events_may_be_tokens():
    """A perfect learner of tokens under best-of-4 of their sum: in the pure loop the last token takes over."""
    model, mixing = tokens(3), cr.replace()
    real = cr.uniform(jnp.array([[0, 1], [1, 2], [2, 0], [0, 0]]))
    step, _ = build(
        lambda x: x.sum(axis=-1).astype(float), model=model, mixing=mixing, k=4, pool_size=400, temperature=0.0
    )
    end, history = run(jax.random.key(1), begin(mixing, model=model, real=real, slot=100), step, 8)
    assert history["pool"].dtype == jnp.int32 and history["pool"].shape == (8, 400, 2)
    np.testing.assert_allclose(history["mean"][0], [[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(end.model, [[0, 0, 1], [0, 0, 1]], atol=1e-5)  # a sum of 100 weights


def test_events_may_be_images_and_rewards_may_have_annotators():
    real = cr.uniform(jnp.linspace(-1, 1, 48).reshape(4, 3, 2, 2))
    step = cr.retraining(
        MODEL,
        reward=cr.stack(lambda x: x.sum(axis=(1, 2, 3)), lambda x: x[:, 0, 0, 0]),
        curate=cr.k_way(2, lambda key, x, reward: reward.sum(axis=-1)),
        mixing=cr.replace(),
        pool_size=8,
        metrics=describe,
    )
    end, history = run(jax.random.key(1), begin(cr.replace(), real=real), step, 2)
    assert history["pool"].shape == (2, 8, 3, 2, 2) and history["reward"].shape == (2, 8, 2)
    assert end.model.shape == (3, 2, 2)


def test_a_curator_may_return_any_weighted_points():
    """Keeps the pool with all weight on its first row: the model moves there."""

    def first_row(key, pool, reward):
        return Dataset(pool, (jnp.arange(pool.shape[0]) == 0).astype(float))

    step = cr.retraining(MODEL, reward=first, curate=first_row, mixing=cr.replace(), pool_size=8, metrics=describe)
    end, history = run(jax.random.key(1), begin(cr.replace(), slot=8), step, 2)
    np.testing.assert_array_equal(end.model, history["pool"][1, 0])
    np.testing.assert_array_equal(history["effective_size"], [1, 1])


def test_a_loop_judged_by_itself_reads_the_model_that_drew_the_pool():
    """Of exact models, whose density is known, in generation 0 too; a judge that lags by one would show."""
    support = jnp.arange(6.0).reshape(3, 2)
    model, mixing = cr.finite(support), cr.with_real(1.0)
    parts = {"curate": cr.top_fraction(0.5), "mixing": mixing, "pool_size": 16}
    step = cr.self_judged(model, model.log_prob, metrics=describe, **parts)
    state = cr.start(jax.random.key(0), model, mixing, cr.Dataset(support, jnp.array([0.5, 0.3, 0.2])), slot=16)
    end, history = run(jax.random.key(1), state, step, 3)
    place = np.asarray(history["pool"])[..., 0].astype(int) // 2
    expected = np.log(np.take_along_axis(np.asarray(history["mean"]), place, axis=1))
    np.testing.assert_allclose(history["reward"], expected, rtol=1e-6)
    assert len(np.unique(history["mean"][:, 0])) == 3  # the model moves
    assert end.preference == () and jax.tree.structure(end) == jax.tree.structure(state)
