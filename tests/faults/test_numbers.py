"""Numbers at their limits: right by the limit, or refused with the generation and the quantity."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining.driver import RunError, drive
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.types import LoopState, Model

CELLS = [{"lam": "1", "seed": 0}, {"lam": "1", "seed": 1}]
POOL = jnp.arange(8.0)[:, None]


def preferred(reward, x, y):
    """By the reward of each point, which is its place in `POOL`."""
    return jax.nn.sigmoid(reward[x.astype(int)[0]] - reward[y.astype(int)[0]])


def alike(curate):
    """The curator of a crowd whose two types feel the same."""
    return lambda key, pool, reward: curate(key, pool, jnp.stack([reward, reward], axis=1))


CURATORS = {
    "luce": cr.k_way(2, cr.luce(1.0)),
    "best": cr.k_way(8, cr.luce(0.0)),
    "crowd": alike(cr.k_way(2, cr.crowd((0.3, 0.7)))),
    "duels": lambda key, pool, reward: cr.k_way(2, cr.pairwise(Partial(preferred, reward)))(key, pool, reward),
    "flipped": cr.k_way(2, cr.flipped(cr.luce(1.0), 1.0)),
    "inverse": cr.inverse_propensity(2, cr.luce(1.0)),
    "tilt": cr.tilt(1.0),
    "crowd_tilt": alike(cr.crowd_tilt((0.3, 0.7))),
    "quota": cr.quota(cr.tilt(1.0), lambda x: (x[:, 0] >= 4).astype(int), (0.75, 0.25)),
    "rounds": cr.rounds(cr.threshold(0.5), 3),
    "top_fraction": cr.top_fraction(0.25),
    "threshold": cr.threshold(0.5),
}
OF_PAIRS = ("luce", "crowd", "duels", "flipped", "inverse")  # each keeps one point of each


@pytest.fixture(scope="module", params=CURATORS)
def curated(request):
    """The curator, and the total weight of each point of the pool under rewards given as a list."""
    curate = jax.jit(CURATORS[request.param])

    def weight(reward, seed=0):
        kept = curate(jax.random.key(seed), POOL, jnp.asarray(reward, float))
        return np.bincount(np.asarray(kept.x[:, 0], int), weights=kept.weight, minlength=8)

    return request.param, weight


def test_a_reward_that_is_no_number_is_refused(curated):
    _, weight = curated
    assert np.isnan(weight([0, 1, 2, 3, np.nan, 5, 6, 7])).any()


@pytest.mark.parametrize(("low", "high"), [(-1e30, 1e30), (-np.inf, 1), (-np.inf, 1e30)])
def test_huge_rewards_and_those_that_can_never_be_chosen_have_the_weights_of_their_limit(curated, low, high):
    """Of each pair one is certain, and the four best are equal."""
    name, weight = curated
    found = weight([low, high, high, low, low, high, high, low])
    best, others = found[[1, 2, 5, 6]], found[[0, 3, 4, 7]]
    if name == "flipped":
        best, others = others, best
    expected = {"best": np.eye(4)[best.argmax()], "quota": [0.375, 0.375, 0.125, 0.125]}.get(name, np.full(4, 0.25))
    np.testing.assert_allclose(best, expected, rtol=1e-6)
    np.testing.assert_array_equal(others, 0)


def test_where_none_can_be_chosen_all_tie_or_are_refused(curated):
    name, weight = curated
    nobody = weight([-np.inf] * 8)
    if name == "top_fraction":  # the best quarter is shared by all
        np.testing.assert_allclose(nobody, 1 / 8)
    else:
        assert np.isnan(nobody).any()


def test_an_infinitely_good_point_is_taken_or_refused(curated):
    """Where rewards are subtracted or exponentiated it is no number; duels, ranks and limits take it."""
    name, weight = curated
    found = weight([0, 0, 0, 0, 0, np.inf, 0, 0])
    if name == "duels":
        np.testing.assert_allclose([*found.reshape(4, 2).sum(axis=1), found[5]], 0.25)
    elif name == "top_fraction":  # the second place is shared by the seven others
        np.testing.assert_allclose(found, np.where(np.arange(8) == 5, 1 / 2, 1 / 14), rtol=1e-6)
    elif name in ("threshold", "rounds"):
        np.testing.assert_allclose(found, np.arange(8) == 5)
    else:
        assert np.isnan(found).any()


def test_equal_rewards_weigh_evenly(curated):
    name, weight = curated
    found = weight([1] * 8)
    if name in OF_PAIRS:
        np.testing.assert_array_equal(np.sort(found.reshape(4, 2)), [[0, 0.25]] * 4)
    elif name == "best":
        np.testing.assert_array_equal(np.sort(found), [0] * 7 + [1])
    else:
        even = np.repeat([0.75 / 4, 0.25 / 4], 4) if name == "quota" else np.full(8, 1 / 8)
        np.testing.assert_allclose(found, even, rtol=1e-6)


def test_each_of_three_equals_is_chosen_with_one_in_three():
    choices = [cr.luce(1.0), cr.luce(0.0), cr.pairwise(lambda x, y: jnp.array(0.5)), cr.flipped(cr.luce(1.0), 0.3)]

    @jax.jit
    def chances(key, reward):
        shown = [choose(each, POOL[:3], reward) for choose, each in zip(choices, jax.random.split(key, 4), strict=True)]
        crowd = cr.crowd((0.3, 0.7))(jax.random.fold_in(key, 4), POOL[:3], jnp.stack([reward, reward], axis=1))
        return jax.nn.softmax(jnp.stack([*shown, crowd]))

    for reward in (0.0, 1e30, -1e30):
        np.testing.assert_allclose(chances(jax.random.key(0), jnp.full(3, reward)), 1 / 3, rtol=1e-6)


def test_the_ends_of_the_temperature():
    choose = jax.jit(
        lambda temperature: jax.nn.softmax(cr.luce(temperature)(None, None, jnp.array([0.0, 1.0, 3.0, 3.0])))
    )
    np.testing.assert_allclose(choose(0.0), [0, 0, 0.5, 0.5])
    np.testing.assert_allclose(choose(1e-30), [0, 0, 0.5, 0.5])
    np.testing.assert_allclose(choose(jnp.inf), np.full(4, 0.25))
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match="temperature="):
            cr.luce(bad)


def test_groups_larger_than_the_pool_are_refused():
    with pytest.raises(ValueError, match="a pool of 8 does not split into groups of 16"):
        jax.eval_shape(cr.k_way(16, cr.luce()), jax.random.key(0), POOL, POOL[:, 0])


@pytest.mark.parametrize("curate", [cr.k_way(2, cr.luce()), cr.tilt(), cr.top_fraction(0.5), cr.threshold(1.0)])
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int8, bool, jnp.complex64])
def test_rewards_whose_differences_are_not_meant_are_refused(curate, dtype):
    """255 − 0 is more than an int8 holds, and 0 − 1 no uint8: choices by them would be others."""
    with pytest.raises(ValueError, match=rf"real rewards, not {jnp.dtype(dtype)}"):
        jax.eval_shape(curate, jax.random.key(0), POOL, jnp.zeros(8, dtype))


# A loop whose model is the mean of what it saw, with noise of sd 1 around it.


def _fit(key, state, data):
    del key
    return (data.weight @ data.x).astype(state.dtype)


def _sample(key, state, num):
    return state[None] + jax.random.normal(key, (num, *state.shape), state.dtype)


MEAN = Model(lambda key, x: x[0], _fit, _sample, None)
REAL = cr.uniform(jnp.array([[1.0], [2.0], [6.0]]))


def _reward(add, x):
    return x[:, 0] + add


def looped(lam=1.0, add=0.0, curate=CURATORS["luce"], metrics=lambda record: {}, state=None):
    """`begin` and `advance` of two cells that are alike but for their keys."""
    mixing = cr.with_real(lam)
    step = cr.retraining(MEAN, reward=Partial(_reward, add), curate=curate, mixing=mixing, pool_size=8, metrics=metrics)

    def begin():
        start = cr.start(jax.random.key(0), MEAN, mixing, REAL, slot=4) if state is None else state
        return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), start)

    def advance(step, state):
        return jax.vmap(step)(jax.random.split(jax.random.key(1), 2), state)

    return Partial(begin), Partial(advance, step)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"add": jnp.nan}, "effective_size is not finite in generation 0"),
        (
            {"add": jnp.nan, "metrics": cr.metrics.reward_moments()},
            "effective_size, exp_reward_mean, exp_reward_var, reward_mean are not finite in generation 0",
        ),
        ({"curate": cr.threshold(1e9)}, "effective_size is not finite in generation 0"),
        (
            {"add": 1e30, "metrics": cr.metrics.reward_moments()},
            "^exp_reward_mean, exp_reward_var are not finite in generation 0",
        ),
        (
            {"state": LoopState(jnp.zeros((), int), jnp.full(1, jnp.nan), REAL, ())},
            "state's model is .*before generation 0",
        ),
    ],
)
def test_what_is_not_finite_is_refused_by_generation_and_name(tmp_path, options, said):
    with pytest.raises(RunError, match=said):
        drive(tmp_path, {}, *looped(**options), cells=CELLS, generations=2)
    assert not (tmp_path / "metrics.csv").exists()


def test_parameters_that_no_metric_shows_are_refused_and_the_generation_before_stays(tmp_path):
    """The second cell's state becomes infinite with generation 2; its metric never is."""

    def advance(state):
        ends = (state["t"] == 2)[:, None] & jnp.array([[False], [True]])
        return {"t": state["t"] + 1, "w": jnp.where(ends, jnp.inf, state["w"])}, {"reward_mean": jnp.zeros(2)}

    begin = Partial(lambda: {"t": jnp.zeros(2, int), "w": jnp.ones((2, 3))})
    with pytest.raises(RunError, match=r"the state's \['w'\] is not finite after generation 2 \(lam=1, seed=1\)"):
        drive(tmp_path, {}, begin, Partial(advance), cells=CELLS, generations=5)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["0", "1"]


def test_a_memory_may_hold_what_is_not_finite_where_it_is_not_used(tmp_path):
    state = LoopState(jnp.zeros(2, int), jnp.ones(2), jnp.full((2, 3), jnp.nan), ())
    drive(tmp_path, {}, Partial(lambda: state), Partial(lambda s: (s, {"a": s.model})), cells=CELLS, generations=1)


def test_the_ends_of_lambda():
    """λ = 0: the model is the real mean, 3, whatever is curated. λ = ∞: it is the mean of what was kept."""
    kept = lambda record: {"kept": record.curated.weight @ record.curated.x, "model": record.model}  # noqa: E731

    @jax.jit
    def course(lam):
        begin, advance = looped(lam, metrics=kept)
        return jax.lax.scan(lambda state, _: advance(state), begin(), length=3)[1]

    np.testing.assert_array_equal(course(0.0)["model"], 3)
    pure = course(jnp.inf)
    np.testing.assert_allclose(pure["model"][1:], pure["kept"][:-1], rtol=1e-6)
    assert np.ptp(pure["model"]) > 0.1
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match="lam="):
            cr.with_real(bad)


@pytest.mark.parametrize(
    "model", [cr.gaussian(), cr.gmm(2, steps=2), cr.kde(0.1, size=8), cr.standardised(cr.gaussian())]
)
def test_a_collapsed_pool_is_fitted_by_what_is_left(model):
    """All points equal: samples lie around them, with the ridge's sd of 0.01 or the bandwidth's of 0.1 at most."""
    x = drawn_by(model)
    assert np.isfinite(x).all() and np.abs(x - 3).max() < 5 * 0.1


def drawn_by(model):
    """Samples of a fit to points that are all (3, 3)."""

    @jax.jit
    def drawn(key, x):
        init_key, fit_key, sample_key = jax.random.split(key, 3)
        data = cr.uniform(x)
        return model.sample(sample_key, model.fit(fit_key, model.init(init_key, data.x), data), 50)

    return drawn(jax.random.key(0), jnp.full((8, 2), 3.0))


TRAINING = {"batch_size": 8, "learning_rate": 0.01, "ema": 0.9}
NETWORK = TimeMLP(width=16, depth=0)


@pytest.mark.parametrize(
    "model",
    [
        cr.ddpm(NETWORK, betas=np.linspace(0.2, 0.6, 4), steps=200, **TRAINING),
        cr.flow_matching(NETWORK, sample_steps=4, steps=300, **TRAINING),
        cr.flow(layers=2, bins=4, width=8, depth=0, steps=600, **TRAINING),
    ],
)
def test_a_network_learns_a_collapsed_pool(model):
    """Most samples lie near the one point; those of an untrained one are 3 away."""
    x = drawn_by(model)
    assert np.isfinite(x).all() and np.median(np.abs(x - 3)) < 0.5


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("bfloat16", 0.02)])
def test_other_floats_give_the_same_course_to_their_precision(dtype, error):
    """The mean of 1, 2 and 6, and where λ = 1 half of it and half the best of the pool that the dtype draws."""

    @jax.jit
    def generation(lam):
        mixing = cr.with_real(lam)
        real = cr.uniform(jnp.array([[1.0], [2.0], [6.0]], dtype))
        best = lambda record: {"best": record.pool.max()}  # noqa: E731
        parts = {"curate": CURATORS["best"], "mixing": mixing, "pool_size": 8, "metrics": best}
        step = cr.retraining(MEAN, reward=lambda x: x[:, 0], **parts)
        return step(jax.random.key(1), cr.start(jax.random.key(0), MEAN, mixing, real, slot=1))

    with jax.enable_x64(dtype == "float64"):
        for lam, share in ((0.0, 0.0), (1.0, 0.5)):
            state, report = generation(lam)
            assert state.model.dtype == report["best"].dtype == dtype
            assert abs(float(state.model[0]) - (1 - share) * 3 - share * float(report["best"])) < error * 3
            size = 1 / ((1 - share) ** 2 / 3 + share**2)
            assert float(report["effective_size"]) == pytest.approx(size, rel=max(error, 1e-6))


def test_a_run_of_bfloat16_goes_on_to_the_same_bits(tmp_path):
    real = cr.uniform(REAL.x.astype(jnp.bfloat16))
    state = LoopState(jnp.zeros((), int), jnp.ones(1, jnp.bfloat16), real, ())
    course = looped(metrics=lambda record: {"model": record.model, "pool": record.pool}, state=state)
    whole = drive(tmp_path / "run", {}, *course, cells=CELLS, generations=3)
    shutil.rmtree(tmp_path / "run/checkpoints/2")
    shutil.rmtree(tmp_path / "run/checkpoints/3")
    again = drive(tmp_path / "run", {}, *course, cells=CELLS, generations=3)
    assert whole["model"].dtype == again["model"].dtype == jnp.bfloat16 and len(np.unique(whole["model"])) > 4
    assert whole.keys() == again.keys() and all(whole[name].tobytes() == again[name].tobytes() for name in whole)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_rewards_of_half_precision_are_chosen_among_as_those_of_float32(dtype):
    """The bits of the same numbers in float32: drawn in halves, the first of 256 candidates would win more often."""
    choices = {"luce": cr.luce(0.5), "flipped": cr.flipped(lambda key, x, reward: reward, 0.3)}
    curators = [cr.k_way(256, choice) for choice in choices.values()] + [cr.crowd_tilt((0.7, 0.3), (0.5, 2.0))]
    pool = jnp.arange(4096)

    @jax.jit
    def found(reward):
        rewards = [reward, reward, jnp.stack([reward, -reward], axis=1)]
        return [curate(jax.random.key(0), pool, r) for curate, r in zip(curators, rewards, strict=True)]

    reward = jax.random.normal(jax.random.key(1), (4096,), dtype)
    for half, single in zip(found(reward), found(reward.astype(jnp.float32)), strict=True):
        np.testing.assert_array_equal(half.x, single.x)
        np.testing.assert_array_equal(half.weight, single.weight)
        assert half.weight.dtype == jnp.float32


@pytest.mark.parametrize("curate", [cr.tilt(), cr.threshold(0.0), cr.top_fraction(0.5)])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_weights_by_rewards_of_half_precision_are_of_float32(curate, dtype):
    """In halves the count of 100,000 points is infinite, and sums of their weights have 128 or 1,024 values."""
    weight = jax.jit(curate)(jax.random.key(0), jnp.zeros(100_000), jnp.zeros(100_000, dtype)).weight
    assert weight.dtype == jnp.float32
    np.testing.assert_allclose(weight, 1e-5, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_draws_by_weights_of_half_precision_reach_all_points(dtype):
    """20 draws a point: in bfloat16 running sums of ones stand still at 256."""
    drawn = jax.jit(cr.draw, static_argnums=2)(
        jax.random.key(0), cr.Dataset(jnp.arange(4000), jnp.ones(4000, dtype)), 80_000
    )
    assert np.unique(drawn).size == 4000
