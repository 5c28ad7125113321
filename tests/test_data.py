import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from curated_retraining import data
from curated_retraining.metrics.pool import proportions
from curated_retraining.types import Dataset, Generation

ERRORS = [
    (data.uniform, (jnp.zeros((0, 2)),), "at least one"),
    (data.ring_means, (0,), "modes=0"),
    (data.ring, (jax.random.key(0), 5, 8, 2.0, 0.0), "sd=0.0"),
    (data.moons, (jax.random.key(0), 5, -1.0), "noise=-1.0"),
    (data.checkerboard, (jax.random.key(0), 5, 3), "cells=3"),
    (data.checkerboard, (jax.random.key(0), 5, 0), "cells=0"),
]

# name, log-density, sampler, reach of the grid (over 6 sd beyond the outermost mean)
DENSITIES = [
    pytest.param(
        lambda x: data.ring_log_density(x, 5, 1.5, 0.4), lambda key, n: data.ring(key, n, 5, 1.5, 0.4), 4.5, id="ring"
    ),
    pytest.param(lambda x: data.moons_log_density(x, 0.2), lambda key, n: data.moons(key, n, 0.2), 4.0, id="moons"),
]


@pytest.mark.parametrize(("function", "arguments", "message"), ERRORS)
def test_mistakes_are_rejected(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_uniform_weighs_points_evenly_whatever_their_shape():
    tokens = data.uniform(jnp.zeros((5, 3, 2), jnp.int32))
    assert tokens.x.dtype == jnp.int32
    np.testing.assert_array_equal(tokens.weight, np.full(5, np.float32(0.2)))


def test_union_keeps_the_order_of_points_and_scales_their_weights():
    parts = [data.uniform(jnp.arange(2)), Dataset(jnp.arange(2, 5), jnp.array([0.5, 0.5, 0.0]))]
    both = jax.jit(lambda share: data.union(parts, [1 - share, share]))(0.75)
    np.testing.assert_array_equal(both.x, np.arange(5))
    np.testing.assert_array_equal(both.weight, [0.125, 0.125, 0.375, 0.375, 0])


def test_union_takes_a_share_for_each_part():
    with pytest.raises(ValueError):
        data.union([data.uniform(jnp.arange(2))], [0.5, 0.5])


def test_draws_follow_the_weights_and_skip_rows_without(assert_mean):
    weight = np.array([0, 0.1, 0.4, 0, 0.5, 0], np.float32)
    drawn = data.draw(jax.random.key(0), Dataset(10 * jnp.arange(6), jnp.asarray(weight)), 20_000)
    assert_mean(np.asarray(drawn)[:, None] == 10 * np.arange(6), weight)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_draws_by_weights_of_half_precision_reach_all_points(dtype):
    """20 draws a point: in bfloat16 running sums of ones stand still at 256."""
    drawn = jax.jit(data.draw, static_argnums=2)(
        jax.random.key(0), Dataset(jnp.arange(4000), jnp.ones(4000, dtype)), 80_000
    )
    assert np.unique(drawn).size == 4000
    np.testing.assert_array_equal(data.cumulative(jnp.ones(4000, dtype)), np.arange(1, 4001))


BAD = [[0.5, np.nan, 0.5], [0.5, 0.5, np.nan], [0.0, 0.0, 0.0], [0.5, 1.0, -0.5], [0.5, np.inf, 0.5]]


@pytest.mark.parametrize("weight", BAD)
def test_weights_that_are_none_are_refused_or_make_the_draws_nan(weight):
    points = Dataset(jnp.arange(3.0)[:, None], jnp.array(weight))
    with pytest.raises(ValueError, match=r"weight=.* cannot be drawn by"):
        data.draw(jax.random.key(0), points, 4)
    assert np.isnan(_drawn(points)).all()


@jax.jit
def _drawn(points):
    return data.draw(jax.random.key(0), points, 4)


def test_a_row_without_weight_is_never_drawn_from_many():
    """Parallel sums of many weights are not monotone: their rounding alone must not give such a row a share."""
    rng = np.random.default_rng(1)
    kept = rng.random(50_000) < 0.5
    weight = np.where(kept, rng.random(50_000), 0)
    drawn = data.draw(jax.random.key(1), Dataset(jnp.asarray(kept), jnp.asarray(weight / weight.sum())), 2**22)
    assert drawn.all()


@pytest.mark.parametrize("total", [1.0, 1 - 2**-24, 1 + 2**-23, 0.7, 3e-30, 3e30])
@pytest.mark.parametrize(("extreme", "row"), [(0.0, 1), (1 - 2**-23, 2)])
def test_the_extreme_uniforms_fall_on_rows_with_weight(monkeypatch, total, extreme, row):
    """1 − 2⁻²³ is the largest single-precision number that `jax.random.uniform` returns."""
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype: jnp.full(shape, extreme, dtype))
    cumulative = jnp.array([0.0, total / 2, total, total, total], jnp.float32)
    np.testing.assert_array_equal(data.draw_index(jax.random.key(0), cumulative, 3), np.full(3, row))


def test_draws_keep_the_shape_and_type_of_events():
    tokens = data.uniform(jnp.arange(12, dtype=jnp.int8).reshape(2, 3, 2))
    drawn = data.draw(jax.random.key(0), tokens, 5)
    assert drawn.shape == (5, 3, 2) and drawn.dtype == jnp.int8


def test_ring_has_the_moments_of_its_mixture(assert_mean):
    """Even modes on a circle: mean 0 and covariance (radius² / 2 + sd²) I."""
    x = np.asarray(data.ring(jax.random.key(2), 20_000, 8, 3.0, 0.5).x, float)
    assert_mean(x, 0)
    assert_mean(x[:, :, None] * x[:, None], (4.5 + 0.25) * np.eye(2))


def test_ring_spreads_evenly_over_modes_that_start_on_the_first_axis(assert_mean):
    means = np.asarray(data.ring_means(4, 3.0))
    np.testing.assert_allclose(means, [[3, 0], [0, 3], [-3, 0], [0, -3]], atol=1e-6)  # float32 sines of π
    x = np.asarray(data.ring(jax.random.key(3), 20_000, 4, 3.0, 0.1).x)
    mode = np.linalg.norm(x[:, None] - means, axis=-1).argmin(axis=-1)
    assert_mean(mode[:, None] == np.arange(4), 1 / 4)
    np.testing.assert_array_equal(data.nearest_mode(jnp.asarray(x), 4, 3.0), mode)
    assert_mean((x - means[mode]) ** 2, 0.1**2)


@pytest.mark.parametrize("label", [data.nearest_mode, data.nearest_moon])
def test_a_point_that_is_nowhere_is_of_no_class(label):
    x = jnp.array([[2.0, 0.0], [np.nan, 0.0], [0.0, np.inf]])
    found = label(x)
    np.testing.assert_array_equal(found, [found[0], -1, -1])
    assert found[0] >= 0
    report = proportions(label, 8)(Generation((), x, x[:, 0], data.uniform(x), data.uniform(x)))
    assert report["share"].sum() == pytest.approx(1 / 3)


def test_moons_have_the_moments_of_their_arcs(assert_mean):
    """Arcs (cos, sin) and (1 − cos, 1/2 − sin) of an even angle: E sin = 2/π, E cos = E sin·cos = 0, E sin² = 1/2."""
    noise, sine = 0.3, 2 / np.pi
    x = np.asarray(data.moons(jax.random.key(4), 20_000, noise).x, float) - [0.5, 0.25]
    apart = np.array([0.5, 0.25 - sine])  # half the way between the centres of the moons
    within = np.diag([0.5, 0.5 - sine**2]) + noise**2 * np.eye(2)
    assert_mean(x, 0)
    assert_mean(x[:, :, None] * x[:, None], within + np.outer(apart, apart))


def test_moons_are_two_even_half_circles(assert_mean):
    """The noise of 1e-3 stays below 6 sd: of 20,000 draws one goes beyond once in 25,000 tests."""
    ends = data.moon_arcs(jnp.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(ends[0], [[1, 0], [0, 1], [-1, 0]], atol=1e-6)  # float32 sines of π
    np.testing.assert_allclose(ends[1], [[0, 0.5], [1, -0.5], [2, 0.5]], atol=1e-6)

    noise = 1e-3
    x = data.moons(jax.random.key(5), 20_000, noise).x
    upper = np.asarray(data.nearest_moon(x)) == 0
    centred = np.where(upper[:, None], x, [1, 0.5] - np.asarray(x))  # either moon is now the upper half circle
    assert np.all(np.abs(np.linalg.norm(centred, axis=-1) - 1) < 6 * noise) and np.all(centred[:, 1] > -6 * noise)
    assert_mean(upper, 0.5)


@pytest.mark.parametrize(("log_density", "sampler", "reach"), DENSITIES)
def test_densities_integrate_to_one_and_are_those_of_the_samples(assert_mean, log_density, sampler, reach):
    """The mean log-density of samples is minus the entropy; on a grid of half the noise sums are exact."""
    axis, cell = np.linspace(-reach, reach, 81, retstep=True)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    x = np.concatenate([grid, sampler(jax.random.key(6), 20_000).x])
    with jax.enable_x64(True):
        log_p, of_samples = np.split(np.asarray(log_density(jnp.asarray(x))), [len(grid)])
    mass = np.exp(log_p) * cell**2
    np.testing.assert_allclose(mass.sum(), 1, atol=1e-8)  # the tail beyond 6 sd
    assert_mean(of_samples, mass @ log_p)


@pytest.mark.parametrize("noise", [0.1, 0.02])
def test_the_moons_density_is_as_accurate_as_it_says(noise):
    """1e-4 nats within 5 `noise` of an arc while π / 256 < `noise`, ends of arcs included, by a Gauss-Legendre rule."""
    node, weight = np.polynomial.legendre.leggauss(400)
    with jax.enable_x64(True):
        means = np.asarray(data.moon_arcs(jnp.asarray(node + 1) / 2)).reshape(-1, 2)
        start = np.asarray(data.moon_arcs(jnp.linspace(0, 1, 21))).reshape(-1, 2)
        angle = np.arange(8) * np.pi / 4
        x = np.concatenate([start, *(start + 5 * noise * np.array([np.cos(a), np.sin(a)]) for a in angle)])
        log_p = data.moons_log_density(jnp.asarray(x), noise)
    squared = np.sum((x[:, None] - means) ** 2, axis=-1)
    exact = logsumexp(-squared / (2 * noise**2), b=np.tile(weight, 2) / 4, axis=-1) - np.log(2 * np.pi * noise**2)
    np.testing.assert_allclose(log_p, exact, rtol=0, atol=1e-4)


def test_checkerboard_is_even_on_its_dark_cells(assert_mean):
    x = 2 * (np.asarray(data.checkerboard(jax.random.key(7), 20_000, 8).x, float) + 2)  # in cells, from a corner
    x = x[np.all(np.abs(x - np.round(x)) > 1e-6, axis=1)]  # where rounding puts a point on an edge, it is in two cells
    column, row = np.floor(x).astype(int).T
    assert np.all((column + row) % 2 == 0) and x.min() >= 0 and x.max() <= 8
    dark = np.arange(64)[np.add.outer(np.arange(8), np.arange(8)).ravel() % 2 == 0]
    assert_mean((8 * column + row)[:, None] == dark, 1 / 32)
    offset = x % 1
    assert_mean(offset, 1 / 2)
    assert_mean(offset**2, 1 / 3)
