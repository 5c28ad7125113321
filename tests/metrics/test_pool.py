import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import entropy

from curated_retraining import metrics
from curated_retraining.types import Dataset, Generation, Model

RTOL = 1e-5  # float32: some tens of roundings of 6e-8


def record(pool, reward=None, model=None):
    pool = jnp.asarray(pool)
    even = Dataset(pool, jnp.full(pool.shape[:1], 1 / pool.shape[0]))
    return Generation(model, pool, jnp.zeros(pool.shape[0]) if reward is None else jnp.asarray(reward), even, even)


def over(estimate, pools, references):
    """The estimate from each of many pairs of samples."""
    return jax.jit(jax.vmap(estimate))(jnp.asarray(pools, float), jnp.asarray(references, float))


def normal_model() -> Model:
    """Normal distributions of a mean and an sd."""
    return Model(
        init=lambda key, x: (x.mean(), x.std()),
        fit=lambda key, state, data: state,
        sample=lambda key, state, num: state[0] + state[1] * jax.random.normal(key, (num,)),
        log_prob=lambda state, x: jax.scipy.stats.norm.logpdf(x, *state),
    )


@pytest.mark.parametrize("shape", [(7,), (7, 2)])
def test_reward_moments_and_quantiles_are_those_of_the_pool(shape):
    reward = np.random.default_rng(0).normal(size=shape)
    this = record(jnp.zeros((7, 1)), reward)
    got = metrics.join(metrics.reward_moments(), metrics.reward_quantiles((0.05, 0.125, 0.5)))(this)
    expected = {
        "reward_mean": reward.mean(axis=0),
        "exp_reward_mean": np.exp(reward).mean(axis=0),
        "exp_reward_var": np.exp(reward).var(axis=0),
        "reward_q5": np.quantile(reward, 0.05, axis=0),
        "reward_q12.5": np.quantile(reward, 0.125, axis=0),
        "reward_q50": np.quantile(reward, 0.5, axis=0),
    }
    assert list(got) == list(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=RTOL), got, expected)


def test_top_mass_counts_what_reaches_the_level():
    got = metrics.top_mass(1.0)(record(jnp.zeros((4, 1)), [1.0, 0.99, 3.0, -1.0]))
    assert got == {"top_mass": 0.5}


def test_proportions_leave_out_labels_that_are_no_class():
    pool = jnp.array([0, 2, 2, -1, 3, 7, 2, 0])
    got = metrics.proportions(lambda x: x, 3)(record(pool))
    np.testing.assert_array_equal(got["share"], [2 / 8, 0, 3 / 8])
    np.testing.assert_allclose(got["entropy"], entropy([2, 0, 3]), rtol=RTOL)


def test_entropy_and_effective_size_in_closed_form():
    share = np.array([0.5, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(metrics.entropy(jnp.asarray(share)), 1.5 * np.log(2), rtol=RTOL)
    np.testing.assert_allclose(metrics.effective_size(jnp.asarray(share)), 8 / 3, rtol=RTOL)
    np.testing.assert_allclose(metrics.effective_size(jnp.full(7, 1 / 7)), 7, rtol=RTOL)


def test_snapshot_is_the_head_of_the_pool():
    pool = jnp.arange(12).reshape(4, 3)
    np.testing.assert_array_equal(metrics.snapshot(2)(record(pool))["pool"], pool[:2])
    with pytest.raises(ValueError, match="snapshot of 5 points needs a larger pool than 4"):
        metrics.snapshot(5)(record(pool))


def test_join_rejects_a_name_that_comes_twice():
    this = record(jnp.zeros((4, 1)))
    assert metrics.join()(this) == {}
    with pytest.raises(ValueError, match="top_mass"):
        metrics.join(metrics.top_mass(0.0), metrics.reward_moments(), metrics.top_mass(1.0))(this)


def test_kl_on_grid_between_normals():
    """log(s'/s) + (s² + (m − m')²) / 2 s'² − 1/2; on half of the line half of the mass is out of sight."""
    axis, cell = np.linspace(-15, 15, 601, retstep=True)
    with jax.enable_x64(True):

        def reference(x):
            return jax.scipy.stats.norm.logpdf(x, -0.5, 2.0)

        this = record(jnp.zeros((1, 1)), model=(jnp.array(1.0), jnp.array(0.5)))
        got = metrics.kl_on_grid(normal_model(), jnp.asarray(axis), float(cell), reference)(this)
        cells = jnp.where(jnp.asarray(axis) > 1.0, cell, 0.0).at[320].set(cell / 2)  # 320: the mean
        upper = metrics.kl_on_grid(normal_model(), jnp.asarray(axis), cells, reference)(this)
    np.testing.assert_allclose(got["kl"], np.log(4) + (0.25 + 2.25) / 8 - 0.5, rtol=1e-10)
    np.testing.assert_allclose(got["grid_mass"], 1, rtol=1e-10)
    np.testing.assert_allclose(upper["grid_mass"], 0.5, rtol=1e-10)


@pytest.mark.parametrize(
    ("log_p", "log_q", "kl"),
    [([0, -np.inf], [np.log(0.5), -np.inf], np.log(2)), ([np.log(0.5)] * 2, [0, -np.inf], np.inf)],
)
def test_kl_on_grid_where_one_side_has_no_mass(log_p, log_q, kl):
    """Nothing where the model has none; infinite where only the reference has none."""
    model = normal_model()._replace(log_prob=lambda state, x: jnp.array(log_p, jnp.float32))
    got = metrics.kl_on_grid(model, jnp.arange(2.0), 1.0, lambda x: jnp.array(log_q, jnp.float32))(record(jnp.zeros(1)))
    np.testing.assert_allclose(got["kl"], kl, rtol=RTOL)


def test_kl_on_grid_needs_a_density():
    with pytest.raises(ValueError, match="no log_prob"):
        metrics.kl_on_grid(normal_model()._replace(log_prob=None), jnp.zeros(2), 1.0, lambda x: x)


def neighbour_kl(pool, reference, k):
    """d/n Σ log(ν_k / ρ_k) + log(m / (n − 1)), ν_k and ρ_k the k-th nearest of the reference and of the other rows."""
    n, m = len(pool), len(reference)
    own = np.sort(np.linalg.norm(pool[:, None] - pool, axis=-1), axis=-1)[:, k]  # column 0 is the point itself
    other = np.sort(np.linalg.norm(pool[:, None] - reference, axis=-1), axis=-1)[:, k - 1]
    return pool.shape[1] * np.mean(np.log(other / own)) + np.log(m / (n - 1))


@pytest.mark.parametrize("k", [1, 4])
def test_kl_to_sample_is_its_formula(k):
    rng = np.random.default_rng(0)
    pool, reference = rng.normal(size=(20, 3)), rng.normal(1, 2, size=(31, 3))
    images = [jnp.asarray(a, jnp.float32).reshape(-1, 3, 1) for a in (pool, reference)]
    got = metrics.kl_to_sample(images[1], k)(record(images[0]))["kl"]
    np.testing.assert_allclose(got, neighbour_kl(pool, reference, k), rtol=1e-4)  # float32 differences of nearby points


def test_kl_to_sample_between_normals(assert_mean):
    """In one dimension, where the bias of the estimator (of order k / n) is below its standard error here."""

    rng = np.random.default_rng(1)
    pools, references = 0.7 * rng.normal(size=(32, 300, 1)), 0.5 + rng.normal(size=(32, 600, 1))
    estimates = over(lambda pool, reference: metrics.kl_to_sample(reference)(record(pool))["kl"], pools, references)
    assert_mean(estimates, -np.log(0.7) + (0.49 + 0.25) / 2 - 0.5)


def test_kl_to_sample_is_infinite_where_points_coincide():
    got = metrics.kl_to_sample(jnp.array([[0.0], [1.0]]), 1)(record(jnp.array([[0.5], [0.5], [2.0]])))
    assert np.isposinf(got["kl"])


def test_mmd_is_its_double_sum():
    rng = np.random.default_rng(0)
    pool, reference = rng.normal(size=(9, 2, 1)), rng.normal(1, 1, size=(13, 2, 1))

    def mean_kernel(x, y, without_self):
        kernel = np.exp(-np.sum((x[:, None] - y) ** 2, axis=(2, 3)) / (2 * 0.8**2))
        return kernel[~np.eye(len(x), dtype=bool)].mean() if without_self else kernel.mean()

    expected = (
        mean_kernel(pool, pool, True)
        + mean_kernel(reference, reference, True)
        - 2 * mean_kernel(pool, reference, False)
    )
    got = metrics.mmd(jnp.asarray(reference, jnp.float32), 0.8)(record(pool.astype(np.float32)))["mmd"]
    np.testing.assert_allclose(got, expected, atol=RTOL)  # three numbers of order 1 cancel


def test_pixels_do_not_wrap():
    rng = np.random.default_rng(0)
    pool, reference = (rng.integers(0, 256, (num, 3), np.uint8) for num in (6, 8))
    for metric in (lambda real: metrics.mmd(real, 100.0), lambda real: metrics.kl_to_sample(real, 2)):
        wrapped, whole = (
            metric(jnp.asarray(real))(record(of))
            for real, of in ((reference, pool), (reference.astype(np.float32), pool.astype(np.float32)))
        )
        jax.tree.map(np.testing.assert_array_equal, wrapped, whole)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.reward_quantiles((5.0, 50.0)), r"levels=\(5.0, 50.0\) are not shares"),
        (lambda: metrics.reward_quantiles((0.5, -1.0)), r"levels=\(0.5, -1.0\)"),
        (lambda: metrics.kl_to_sample(jnp.zeros((2, 1)), 0), "neighbour=0 is not a rank: take 1 to 2"),
        (lambda: metrics.kl_to_sample(jnp.zeros((2, 1)), 3), "neighbour=3 is not a rank: take 1 to 2"),
        (
            lambda: metrics.kl_to_sample(jnp.zeros((2, 1)), 1)(record(jnp.zeros((1, 1)))),
            "more than 1 points of the pool",
        ),
        (
            lambda: metrics.kl_to_sample(jnp.zeros((2, 1)), 2, 2)(record(jnp.zeros((4, 1)))),
            "neighbour=2 needs more than 2",
        ),
        (lambda: metrics.mmd(jnp.zeros((2, 1)), 0.0), "bandwidth=0.0 is not an sd"),
        (lambda: metrics.mmd(jnp.zeros((1, 1)), 1.0), r"reference of shape \(1, 1\) has no two points"),
        (lambda: metrics.mmd(jnp.zeros((2, 1)), 1.0)(record(jnp.zeros((1, 1)))), r"pool of shape \(1, 1\)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mmd_of_one_distribution_is_zero_on_average(assert_mean):
    rng = np.random.default_rng(6)
    pools, references = rng.normal(size=(200, 20, 2)), rng.normal(size=(200, 30, 2))
    assert_mean(over(lambda pool, reference: metrics.mmd(reference, 1.0)(record(pool))["mmd"], pools, references), 0)


def test_mmd_takes_large_pools():
    """Traced only: 50,000² is more than an int32 holds."""
    reference = jnp.zeros((50_000, 1))
    assert jax.eval_shape(lambda pool: metrics.mmd(reference, 1.0)(record(pool)), reference)["mmd"].shape == ()
