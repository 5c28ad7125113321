import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import expm
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm

from curated_retraining.data import uniform
from curated_retraining.models import couplings, solvers
from curated_retraining.models import flow_matching as fm
from curated_retraining.models.flow_matching import flow_matching

SD = 2.0
SOLVERS = [solvers.euler, solvers.heun, solvers.bogacki_shampine, solvers.rk4]
MATRIX = 0.5 * np.random.default_rng(0).normal(size=(4, 4))


def time_of(features):
    """The time in [0, 1] from half a turn of it, the slowest of the features."""
    return jnp.arctan2(jnp.abs(features[:, 0]), features[:, 16]) / jnp.pi


class Linear(nn.Module):
    """The velocity 3 t² MATRIX x of images of four pixels, which takes noise z to expm(MATRIX) z."""

    @nn.compact
    def __call__(self, x, features):
        flat = x.reshape(x.shape[0], -1) @ jnp.asarray(MATRIX.T, x.dtype)
        return (3 * time_of(features)[:, None] ** 2 * flat).reshape(x.shape)


class Exact(nn.Module):
    """E[x − noise | between] for data N(0, SD²) and independent noise, times a learned factor that is best at one."""

    @nn.compact
    def __call__(self, x, features):
        time = time_of(features)
        slope = (time * SD**2 - (1 - time)) / (time**2 * SD**2 + (1 - time) ** 2)
        return self.param("factor", nn.initializers.zeros, ()) * slope[:, None] * x


@pytest.mark.parametrize(("solver", "order"), list(zip(SOLVERS, (1, 2, 3, 4), strict=True)))
def test_the_error_of_a_solver_falls_with_its_order(solver, order):
    """x' = −2 t x² from 0 to 1 and back. Halving steps of 1/40 gives the order up to terms of that relative size."""

    def slope(x, time):
        return -2 * time * x**2

    with jax.enable_x64(True):
        for begin, end in ((0.0, 1.0), (1.0, 0.0)):
            start = jnp.asarray(1 / (1 + begin**2))
            few, many = (
                abs(
                    solvers.solve(solver, lambda x, time: -2 * time * x**2, start, begin, end, steps) - 1 / (1 + end**2)
                )
                for steps in (40, 80)
            )
            np.testing.assert_allclose(np.log2(few / many), order, atol=4 / 40)


def test_samples_and_density_are_those_of_a_linear_flow(assert_mean):
    """By matrix exponential. Steps of 1/20 to the fourth order, and float32, leave 1e-5 of numbers of order 10."""
    model = flow_matching(Linear(), solver=solvers.rk4)
    state = model.init(jax.random.key(0), jnp.zeros((1, 2, 2)))
    x = model.sample(jax.random.key(1), state, 20_000)
    assert x.shape == (20_000, 2, 2)

    flat = np.asarray(x, np.float64).reshape(-1, 4)
    assert_mean(flat[:, :, None] * flat[:, None], expm(MATRIX) @ expm(MATRIX).T)
    assert model.log_prob is not None
    noise = flat[:200] @ expm(-MATRIX).T
    expected = norm.logpdf(noise).sum(axis=1) - np.trace(MATRIX)
    np.testing.assert_allclose(model.log_prob(state, x[:200]), expected, atol=1e-4)


def test_the_divergence_is_the_trace_of_the_jacobian():
    weight = jax.random.normal(jax.random.key(0), (6, 6))
    x = jax.random.normal(jax.random.key(1), (5, 3, 2))

    def field(x):
        return jnp.sin(x.reshape(-1, 6) @ weight).reshape(x.shape)

    jacobian = jax.vmap(jax.jacfwd(lambda point: field(point[None])[0]))(x).reshape(5, 6, 6)
    expected = jnp.trace(jacobian, axis1=1, axis2=2)
    np.testing.assert_allclose(fm._divergence(field, x), expected, atol=1e-5)  # six float32 terms of order one


@jax.jit
def factors(init_key, fit_keys, data):
    """The factor of the predictor after training with each of the keys."""
    model = flow_matching(Exact(), steps=60, batch_size=256, optimizer=optax.sgd(0.1))
    state = model.init(init_key, data.x)
    return jax.vmap(lambda key: model.fit(key, state, data))(fit_keys).params["params"]["factor"]


def test_training_finds_the_conditional_mean_of_the_velocity(assert_mean):
    """As for ddpm: the best factor is one at every time, and depends on the variance of the points alone."""
    z = jax.random.normal(jax.random.key(0), (500, 1))
    data = uniform(SD * (z - z.mean()) / z.std())
    with jax.debug_key_reuse(False):  # which takes the keys of a scan under vmap for used ones
        assert_mean(factors(jax.random.key(1), jax.random.split(jax.random.key(2), 64), data), 1)


def batch(num=32):
    """Noise, points and their squared distances, `[points, noise]`."""
    noise, x = (jax.random.normal(jax.random.key(seed), (num, 2, 1)) for seed in (0, 1))
    return noise, 1.5 * x, np.sum((1.5 * x[:, None] - noise[None]) ** 2, axis=(2, 3))


def which(noise, moved):
    """The rows of `noise` that `moved` is made of."""
    same = (np.asarray(moved)[:, None] == np.asarray(noise)[None]).all(axis=(2, 3))
    assert (same.sum(axis=1) == 1).all()
    return same.argmax(axis=1)


def test_exact_ot_is_the_assignment_of_least_cost():
    noise, x, cost = batch()
    chosen = which(noise, jax.jit(couplings.exact_ot)(jax.random.key(2), noise, x))
    np.testing.assert_array_equal(np.sort(chosen), np.arange(len(x)))
    best = cost[linear_sum_assignment(cost)].sum()
    np.testing.assert_allclose(cost[np.arange(len(x)), chosen].sum(), best, rtol=1e-5)  # float32 sums of 32 costs


def test_independent_coupling_leaves_the_noise():
    noise, x, _ = batch()
    np.testing.assert_array_equal(fm.independent(jax.random.key(2), noise, x), noise)


@pytest.mark.parametrize("shape", [(256, 2, 1), (101, 2, 2)])
def test_near_ot_is_a_permutation_of_nearly_least_cost(shape):
    """Mean excess over eight batches below 1 %: seen are 0.2 % in the plane and 0.5 % in four dimensions."""
    keys = jax.random.split(jax.random.key(0), (3, 8))
    x, noise = (jax.vmap(lambda key: jax.random.normal(key, shape))(keys[i]) for i in range(2))
    x = jnp.sign(x) * 1.5 + 0.2 * x
    couple = jax.jit(jax.vmap(couplings.near_ot()))(keys[2], noise, x)
    excess = []
    for points, before, after in zip(x, noise, couple, strict=True):
        order = which(before, after)
        assert sorted(order) == list(range(shape[0]))
        cost = np.sum((np.asarray(points, float)[:, None] - np.asarray(before, float)[None]) ** 2, axis=(2, 3))
        excess.append(cost[np.arange(shape[0]), order].sum() / cost[linear_sum_assignment(cost)].sum() - 1)
    assert np.min(excess) >= 0 and np.mean(excess) < 0.01


def test_sinkhorn_costs_more_than_exact_and_less_than_independent_and_uses_all_noise_alike(assert_mean):
    """After many iterations both marginals of the plan are even, whatever the regularisation."""
    noise, x, cost = batch()
    best = cost[linear_sum_assignment(cost)].mean()
    couple = jax.jit(jax.vmap(couplings.sinkhorn(0.1, iterations=300), in_axes=(0, None, None)))
    moved = couple(jax.random.split(jax.random.key(2), 500), noise, x)
    chosen = np.stack([which(noise, one) for one in moved])
    mean = cost[np.arange(len(x)), chosen].mean(axis=1)
    error = mean.std() / np.sqrt(len(mean))
    assert best < mean.mean() - 4.5 * error and mean.mean() + 4.5 * error < cost.mean()
    assert_mean((chosen[:, :, None] == np.arange(len(x))).mean(axis=1), np.full(len(x), 1 / len(x)))


def test_less_regularisation_comes_closer_to_the_least_cost():
    noise, x, cost = batch()
    means = []
    for regularisation in (0.02, 0.2, 50.0):
        couple = jax.jit(jax.vmap(couplings.sinkhorn(regularisation, iterations=100), in_axes=(0, None, None)))
        moved = couple(jax.random.split(jax.random.key(2), 50), noise, x)
        means.append(np.mean([cost[np.arange(len(x)), which(noise, one)].mean() for one in moved]))
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: flow_matching(sample_steps=0), "sample_steps=0"),
        (lambda: couplings.near_ot(-1), "sweeps=-1"),
        (lambda: couplings.sinkhorn(0.0), r"regularisation=0\.0"),
        (lambda: couplings.sinkhorn(0.1, 0), "iterations=0"),
    ],
)
def test_mistakes_are_rejected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
