"""Several models: against one, against the closed form of the linear-Gaussian toy, against the population."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import curated_retraining as cr
from curated_retraining import grids, metrics, theory
from curated_retraining.driver import drive
from curated_retraining.types import LoopState, Model

run = jax.jit(cr.run, static_argnums=3)
REAL = cr.uniform(jnp.linspace(-1, 1, 24).reshape(12, 2))


def shifting() -> Model:
    """Unit Gaussians around a mean."""
    return Model(
        init=lambda key, x: x[0],
        fit=lambda key, state, data: data.weight @ data.x,
        sample=lambda key, state, num: state[None] + jax.random.normal(key, (num, 2)),
        log_prob=None,
    )


def first(x):
    return x[:, 0]


def second(x):
    return x[:, 1]


def seen(record):
    return {
        "mean": record.model,
        "pool": record.pool,
        "reward": record.reward,
        "kept": record.curated.x,
        "train": record.train.weight @ record.train.x,
    }


def pair(shares, *, pool_size=(8, 6), curate=None, reward=(first, second), models=None):
    """A step of two models and their generation 0."""
    models = models or (shifting(), shifting())
    curate = curate or [cr.k_way(2, cr.luce(0.5)), cr.everything()]
    step = cr.interacting(
        models, reward=reward, curate=curate, pool_size=pool_size, shares=shares, metrics=[seen, seen]
    )
    return step, cr.start_interacting(jax.random.key(0), models, [REAL, REAL], reward=reward)


KEY = jax.random.split(jax.random.key(0))[1]  # what `sweep` plays seed 0 with
SHARES = jnp.array([[0.4, 0.1, 0.2, 0.3, 0.0], [0.0, 0.25, 0.25, 0.25, 0.25]])


def test_one_model_is_retraining_with_real():
    """The same keys, pools and choices; fits differ by the order in which up to 24 weighted points are added."""
    model, lam = shifting(), 3.0
    share = lam / (1 + lam)
    curate = cr.k_way(2, cr.luce(0.5))
    step = cr.interacting(
        [model], reward=[first], curate=[curate], pool_size=[8], shares=[[1 - share, 0, share]], metrics=[seen_pools]
    )
    state = cr.start_interacting(jax.random.key(0), [model], [REAL], reward=[first])
    alone = LoopState(state.generation, state.model[0], state.memory[0], state.preference[0])
    one = cr.retraining(model, reward=first, curate=curate, mixing=cr.with_real(lam), pool_size=8, metrics=seen_pools)
    together, history = run(jax.random.key(1), state, step, 4)
    retrained, expected = run(jax.random.key(1), alone, one, 4)
    assert {f"{name}_0" for name in expected} == history.keys()
    np.testing.assert_array_equal(history["pool_0"][0], expected["pool"][0])
    for name, values in expected.items():
        np.testing.assert_allclose(history[f"{name}_0"], values, rtol=2e-5, atol=2e-5, err_msg=name)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), together.model[0], retrained.model
    )


def seen_pools(record):
    return {"pool": record.pool, "kept": record.curated.x}


@pytest.fixture(scope="module")
def course():
    """A step, its first state, and the state and history of two generations from there."""
    step, state = pair(SHARES)
    return step, state, *run(KEY, state, step, 2)


def test_each_model_trains_on_its_row_of_the_shares(course):
    """What each was fitted to is rebuilt from pools and choices, in the order real, raw of each, curated of each."""
    end, history = jax.tree.map(np.asarray, course[2:])
    real = np.asarray(REAL.x).mean(axis=0)
    raw = [history[f"pool_{i}"].mean(axis=1) for i in range(2)]
    curated = [history[f"kept_{i}"].mean(axis=1) for i in range(2)]
    for i, row in enumerate(np.asarray(SHARES)):
        expected = row[0] * real + row[1] * raw[0] + row[2] * raw[1] + row[3] * curated[0] + row[4] * curated[1]
        np.testing.assert_allclose(history[f"train_{i}"], expected, atol=2e-6)
        following = np.concatenate([history[f"mean_{i}"][1:], end.model[i][None]])
        np.testing.assert_allclose(following, history[f"train_{i}"], atol=2e-6)
        np.testing.assert_array_equal(history[f"reward_{i}"], history[f"pool_{i}"][..., i])
    sizes = [row[0] ** 2 / 12 + row[1] ** 2 / 8 + row[2] ** 2 / 6 for row in np.asarray(SHARES)]
    sizes = [size + row[3] ** 2 / 4 + row[4] ** 2 / 6 for size, row in zip(sizes, np.asarray(SHARES), strict=True)]
    for i in range(2):
        np.testing.assert_allclose(history[f"effective_size_{i}"], 1 / sizes[i], rtol=1e-5)


def test_each_model_and_generation_has_its_own_noise(course):
    _, _, _, history = jax.tree.map(np.asarray, course)
    noise = [history[f"pool_{i}"][t, 0] - history[f"mean_{i}"][t] for i in range(2) for t in range(2)]
    assert len(np.unique(np.round(noise, 4), axis=0)) == 4


def test_preferences_change_each_with_its_own_record():
    co_evolving = [cr.preferences.co_evolving(lambda x: x, jnp.array(w), beta=1.0) for w in ([1.0, 0.0], [0.0, 1.0])]
    step, state = pair(SHARES, reward=co_evolving)
    end, history = run(jax.random.key(1), state, step, 1)
    for i in range(2):
        mean = history[f"kept_{i}"][0].mean(axis=0)
        np.testing.assert_allclose(end.preference[i], mean / max(1, np.linalg.norm(mean)), rtol=1e-5)


def test_shares_are_data_of_one_program_that_the_driver_resumes(course, tmp_path):
    """The first cell is the loop of `course`; its sums of up to 40 points may be taken in another order."""
    traced = []

    def make(shares):
        traced.append(1)
        step, state = pair(shares)
        return grids.Loop(lambda key: state, step)

    begin, advance = grids.programs(make, [{"shares": shares, "seed": 0} for shares in (SHARES, SHARES[::-1])])
    del traced[:]
    drive(tmp_path, {}, begin, advance, cells=[{"cell": 0}, {"cell": 1}], generations=0)
    assert len(traced) == 2 + 1  # `begin` for its shapes and as a program, and `advance`
    history = drive(tmp_path, {}, begin, advance, cells=[{"cell": 0}, {"cell": 1}], generations=1)
    for name, values in course[-1].items():
        np.testing.assert_allclose(history[name][:, 0], values, rtol=1e-4, atol=1e-5)
    assert (history["train_0"][:, 0] != history["train_0"][:, 1]).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shares": SHARES[:, :4]}, r"shape \(2, 4\) for 2 models: give \[2, 5\]"),
        ({"shares": SHARES * 0.9}, "do not sum to 1"),
        ({"shares": jnp.array([[1.2, -0.2, 0, 0, 0], [1, 0, 0, 0, 0]])}, "are not shares"),
        ({"pool_size": (8, 0)}, "pool_size=0 is not a whole number of at least 1"),
        ({"pool_size": (8,)}, "1 entries of pool_size"),
    ],
)
def test_mistakes_are_refused_when_it_is_built(changed, said):
    with pytest.raises(ValueError, match=said):
        pair(**{"shares": SHARES, **changed})


def test_a_reward_of_another_shape_is_named():
    step, state = pair(SHARES, reward=(first, lambda x: x[1:, 0]))
    with pytest.raises(ValueError, match=r"returned the shape \(5,\) for 6 points"):
        step(jax.random.key(1), state)


COUPLING, PULL, STRENGTH, ALPHA = np.array([[0.35, 0.15], [0.15, 0.35]]), np.array([1.0, -0.4]), 0.7, 0.6


def quadrature(nodes=24) -> tuple[Model, int]:
    """Unit Gaussians of the plane without noise: a pool is Gauss-Hermite nodes, with their log weights as third column.

    Nodes lie symmetrically, so that raw they have the mean of the model although they count the same.
    """
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    z = np.stack([axis.ravel() for axis in np.meshgrid(z, z)], axis=1)
    log_weight = np.log(np.outer(weight, weight).ravel())

    def sample(key, state, num):
        return jnp.concatenate([state[None] + z, jnp.asarray(log_weight)[:, None]], axis=1)

    def fit(key, state, data):
        return data.weight @ data.x[:, :2]

    return Model(lambda key, x: x[0, :2], fit, sample, None), nodes**2


@pytest.mark.parametrize("coupling", [COUPLING, ALPHA * np.eye(2)], ids=["curated", "raw"])
def test_the_loop_without_noise_ends_at_the_closed_form(coupling):
    """To 1e-6, in float64: all that the loop adds to the formulas is quadrature of 576 nodes."""
    with jax.enable_x64(True):
        model, size = quadrature()
        bend = ALPHA * np.linalg.inv(coupling) - np.eye(2)  # B of A = α (I + B)^{−1}

        def of_p(x):
            return -0.5 * jnp.sum((x[:, :2] @ bend) * x[:, :2], axis=1) + x[:, 2]

        def of_q(x):
            return STRENGTH * (x[:, :2] @ PULL) + x[:, 2]

        raw = np.allclose(bend, 0)
        shares = [[0, 0, 0, 0, 1], [1 - ALPHA, ALPHA * raw, 0, ALPHA * (not raw), 0]]
        step = cr.interacting(
            [model] * 2,
            reward=[of_p, of_q],
            curate=[cr.tilt()] * 2,
            pool_size=[size] * 2,
            shares=shares,
            metrics=[lambda record: {"mean": record.model}] * 2,
        )
        real = cr.uniform(jnp.array([[1.0, 2.0, 0.0], [-1.0, -2.0, 0.0]]))
        state = cr.start_interacting(jax.random.key(0), [model] * 2, [real] * 2, reward=[of_p, of_q])
        end, history = run(jax.random.key(1), state, step, 80)
        expected = theory.coupled_means(coupling, PULL, STRENGTH)
        np.testing.assert_allclose(np.stack(end.model), expected, atol=1e-6)
        # the course: (θ, φ) -> (φ + λ a, A θ)
        theta, phi = (np.asarray(history[f"mean_{i}"]) for i in range(2))
        np.testing.assert_allclose(theta[1:], phi[:-1] + STRENGTH * PULL, atol=1e-6)
        np.testing.assert_allclose(phi[1:], theta[:-1] @ coupling.T, atol=1e-6)


@pytest.mark.statistical
def test_finite_models_follow_their_population():
    """Three generations of 2 × 8,000 samples on 5 points, 16 seeds: each share to 4.5 standard errors over seeds."""
    support, p_0 = jnp.arange(5.0)[:, None], jnp.array([0.3, 0.3, 0.2, 0.15, 0.05])
    r = jnp.stack([jnp.linspace(0, 2, 5), jnp.linspace(1, -2, 5)])
    rewards = [lambda x, row=row: row[x[:, 0].astype(int)] for row in r]
    models, real = [cr.finite(support)] * 2, cr.Dataset(support, p_0)

    def share(record):
        return {"share": jax.nn.one_hot(record.pool[:, 0].astype(int), 5).mean(axis=0)}

    def course(key):
        start_key, loop_key = jax.random.split(key)
        step = cr.interacting(
            models,
            reward=rewards,
            curate=[cr.k_way(4, cr.luce())] * 2,
            pool_size=[8_000] * 2,
            shares=SHARES,
            metrics=[share] * 2,
        )
        state = cr.start_interacting(start_key, models, [real] * 2, reward=rewards)
        return cr.run(loop_key, state, step, 4)[1]

    history = jax.jit(lambda keys: jax.lax.map(course, keys))(jax.random.split(jax.random.key(0), 16))
    exact = theory.interacting_trajectory(jnp.stack([p_0, p_0]), r, SHARES, k=4, num=3)
    for i in range(2):
        runs = np.asarray(history[f"share_{i}"])
        error = runs.std(axis=0, ddof=1) / 4
        assert np.abs(runs.mean(axis=0) - exact[:, i]).max() < 4.5 * error.max()
        np.testing.assert_allclose(runs.mean(axis=0), exact[:, i], atol=0.01)
    assert np.abs(metrics.effective_size(exact[3, 0]) - metrics.effective_size(exact[3, 1])) > 0.1  # they part
