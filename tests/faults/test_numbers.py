"""Numbers at their limits: right by the limit, or refused with the generation and the quantity."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from test_ends_of_rewards import CURATORS

import curated_retraining as cr
from curated_retraining.driver import RunError, drive
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.types import LoopState, Model

CELLS = [{"lam": "1", "seed": 0}, {"lam": "1", "seed": 1}]


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
