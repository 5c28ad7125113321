"""The K-wise operator against enumeration, closed forms and an adaptive quadrature, all in NumPy."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln

from curated_retraining import theory

EPS = float(np.finfo(np.float64).eps)
ACCURACY = {"float64": 1e-10, "float32": 5e-6}  # of whole K ≤ 1000: what lies below the lowest node is K e^−30, K e^−20
ACCURACY_BETWEEN = 1e-8  # of a real K below 2 in float64: Φ^(K−1) has branch points near the axis
SMALLEST = {"float64": 0.0, "float32": 1e-30}  # float32 keeps fewer digits of a ratio as it nears its smallest number
LEVELS = np.array([0.55, 0.0, 1.0, 0.3, 0.7])  # of a reward range; unsorted
SIZES = (1, 2, 3, 7)


class Case(NamedTuple):
    dtype: str
    p: np.ndarray  # [n, 5]
    r: np.ndarray  # [n, 5]
    k: np.ndarray  # [n]
    ratio: np.ndarray  # [n, 5]


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module", params=["float64", "float32"])
def case(request):
    """Every awkward (p, r) with every reward range and group size, and the operator's answer in one dtype."""
    p, r, k = _with_sizes([(p, scale * r) for scale in (1e-3, 1.0, 10.0, 100.0) for p, r in _awkward()], SIZES)
    r = r.astype(request.param).astype(float)  # what the operator is given: at range 100 a rounding is 4e-6
    return Case(request.param, p, r, k, _ratios(p, r, k, dtype=request.param))


def test_equals_enumeration(case):
    expected = np.array([_enumerated(*row) for row in zip(case.p, case.r, case.k.astype(int), strict=True)])
    np.testing.assert_allclose(case.ratio, expected, ACCURACY[case.dtype], SMALLEST[case.dtype] * ACCURACY[case.dtype])


def test_mean_is_one(case):
    np.testing.assert_allclose(np.sum(case.p * case.ratio, axis=1), 1.0, ACCURACY[case.dtype])


def test_lies_in_zero_to_effective_k(case):
    spread = np.ptp(case.r, axis=1)
    ceiling = case.k / (1 + (case.k - 1) * np.exp(-spread))
    assert (case.ratio[spread < 80] > 0).all()  # e^−80 is still far from the smallest float32
    assert (case.ratio <= ceiling[:, None] * (1 + ACCURACY[case.dtype])).all()


def test_rises_with_the_reward_and_depends_on_nothing_else(case):
    order = np.argsort(case.r, axis=1)
    r, ratio = (np.take_along_axis(value, order, axis=1) for value in (case.r, case.ratio))
    gap, rise, spread = np.diff(r, axis=1), np.diff(ratio, axis=1), np.ptp(r, axis=1)[:, None]
    assert (rise >= -ACCURACY[case.dtype] * ratio[:, :-1]).all()
    strict = (gap > 0) & (case.k[:, None] > 1) & (spread > 0.1) & (spread < 20)  # not lost in rounding
    assert strict.sum() > 100
    assert (rise[strict] > 0).all()
    np.testing.assert_allclose(rise[gap == 0] / ratio[:, 1:][gap == 0], 0.0, atol=8 * np.finfo(case.dtype).eps)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_equals_the_two_level_sum_up_to_k_1000(dtype):
    tops, gaps, sizes = (1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999), (1e-3, 1.0, 5.0, 30.0, 100.0), (1, 2, 7, 100, 1000)
    top, gap, k = np.array(list(itertools.product(tops, gaps, sizes))).T
    p, r = np.stack([1 - top, top], axis=1).astype(dtype), np.stack([0 * gap, gap], axis=1).astype(dtype)
    ratio = _ratios(p, r, k, dtype=dtype)
    expected = np.array([_two_levels(*row) for row in zip(p.astype(float), r[:, 1].astype(float), k, strict=True)])
    np.testing.assert_allclose(ratio, expected, ACCURACY[dtype], SMALLEST[dtype] * ACCURACY[dtype])


def test_equals_an_adaptive_quadrature_for_real_k():
    p, r, k = _with_sizes([(p, 3 * r) for p, r in _awkward()], (1.01, 1.5, 2.5, np.pi, 17.3))
    expected = [[_integral(p, np.exp(r), k, a) for a in np.exp(r)] for p, r, k in zip(p, r, k, strict=True)]
    np.testing.assert_allclose(_ratios(p, r, k), expected, ACCURACY_BETWEEN)  # quad is asked for 1e-11


def test_equals_the_closed_form_of_levels_far_apart_for_real_k():
    """H at best-of-K, from which a gap of 100 is only K e^−100 away."""
    top, k = (value.ravel() for value in np.meshgrid([1e-6, 0.01, 0.4, 0.99, 0.9999], [1.0, 1.3, 2.5, 40.7, 1000.0]))
    ratio = _ratios(np.stack([1 - top, top], axis=1), np.broadcast_to([0.0, 100.0], (25, 2)), k)
    np.testing.assert_allclose(ratio[:, 1], -np.expm1(k * np.log1p(-top)) / top, ACCURACY_BETWEEN)


def test_a_newcomer_far_below_all_mass():
    """A point without mass beside all mass on one: H = K a / (a + K − 1), however small."""
    k, r = np.array([1.25, 1.5, 2.0, 3.0]), np.array([-100.0, -90.0, -20.0, -1e-3, 0.0])
    ratio = _ratios(np.broadcast_to(np.eye(5)[4], (4, 5)), np.broadcast_to(r, (4, 5)), k)
    np.testing.assert_allclose(ratio, k[:, None] / (1 + (k[:, None] - 1) * np.exp(-r)), ACCURACY_BETWEEN)


def test_k_one_is_one_and_k_infinite_is_the_tilt():
    p, r, k = _with_sizes(_awkward(), (1.0, 1000.0, np.inf))
    one, large, infinite = np.split(_ratios(p, r, k)[np.argsort(k, kind="stable")], 3)
    p, r = p[::3], r[::3]
    tilt = np.exp(r) / np.sum(p * np.exp(r), axis=1, keepdims=True)
    np.testing.assert_allclose(one, 1.0, ACCURACY["float64"])
    np.testing.assert_allclose(infinite, tilt, 32 * EPS)
    np.testing.assert_allclose(large, tilt, 10 / 1000)  # H is smooth in 1/K: the first term is of its order


def test_temperature_divides_the_reward():
    p, r, k = _with_sizes(_awkward(), (1.5, 3.0, np.inf))
    for temperature in (0.25, 3.0):
        np.testing.assert_allclose(_ratios(p, r, k, temperature), _ratios(p, r / temperature, k), 32 * EPS)


def test_temperature_zero_is_best_of_k_with_even_ties():
    p, r, k = _with_sizes(_awkward(), SIZES)
    expected = [_enumerated_best(*row) for row in zip(p, r, k.astype(int), strict=True)]
    np.testing.assert_allclose(_ratios(p, r, k, 0.0), expected, 1e-12, 1e-15)


def test_temperature_zero_is_the_limit():
    p, r, k = _with_sizes(_awkward(), (1.7, 3.0, 40.5))
    cold, limit = _ratios(p, r, k, 0.01), _ratios(p, r, k, 0.0)
    np.testing.assert_allclose(cold, limit, ACCURACY_BETWEEN, 50 * np.exp(-15.0))  # levels lie 15 temperatures apart


def test_best_of_infinitely_many_takes_the_best_level_that_has_mass():
    p = np.array([[0.1, 0.2, 0.3, 0.2, 0.2], [0.0, 0.4, 0.0, 0.1, 0.5], [0.2, 0.0, 0.0, 0.0, 0.8]])
    r, infinite = np.broadcast_to([1.0, 3.0, 0.0, 3.0, 2.0], (3, 5)), np.inf  # a newcomer above all mass takes all
    expected = [[0.0, 2.5, 0.0, 2.5, 0.0], [0.0, 2.0, 0.0, 2.0, 0.0], [0.0, infinite, 0.0, infinite, 1.25]]
    np.testing.assert_allclose(_ratios(p, r, np.full(3, infinite), 0.0), expected, 8 * EPS)


def test_vmaps_over_k_reward_and_temperature(x64):
    k, scale, temperature = np.array([[1.0, 2.0, 3.5, np.inf], [0.1, 1.0, 4.0, 20.0], [0.5, 0.0, 2.0, 0.0]])
    p, r = _awkward()[0][0], np.outer(scale, LEVELS)
    one = jax.jit(lambda r, k, temperature: theory.k_way_ratio(jnp.asarray(p), r, k, temperature=temperature))
    each = np.stack([one(*row) for row in zip(r, k, temperature, strict=True)])
    together = _ratios(np.broadcast_to(p, (4, 5)), r, k, temperature)
    np.testing.assert_allclose(together, each, 64 * EPS)
    assert len({tuple(row) for row in each.round(6)}) == 4


def test_one_operator_serves_many_p_and_k(x64):
    p, r, k = _with_sizes([(p, r) for p, r in _awkward() if (r == LEVELS).all()], (2.0, np.inf))
    served = jax.jit(lambda p, k: jax.vmap(theory.k_way_operator(jnp.asarray(LEVELS)))(p, k))(p, k)
    np.testing.assert_allclose(served, _ratios(p, r, k), 64 * EPS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0.5}, "k=0.5 is not a group size: take a number of at least 1"),
        ({"k": 2, "temperature": -1.0}, "temperature=-1.0 is not a temperature: take a number of at least 0"),
        ({"k": 2, "reward_range": 5.0}, r"10.0 is over reward_range=5.0: raise it"),
        ({"k": 2, "temperature": 0.05}, r"200.0 is over reward_range=100.0: raise it"),
    ],
)
def test_refuses_and_names_the_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        theory.k_way_ratio(jnp.array([0.5, 0.5]), jnp.array([0.0, 10.0]), **arguments)


def test_what_it_would_refuse_is_nan_where_it_is_traced():
    k, temperature = np.array([2.0, np.inf, 0.5, 2.0, 2.0]), np.array([0.05, 0.05, 1.0, -1.0, 1.0])
    ratio = _ratios(np.full((5, 2), 0.5), np.broadcast_to([0.0, 10.0], (5, 2)), k, temperature)
    np.testing.assert_array_equal(np.isnan(ratio).all(axis=1), [True, True, True, True, False])


def test_a_raised_reward_range_reaches_further(x64):
    ratio = jax.jit(lambda p, r: theory.k_way_ratio(p, r, 7.0, reward_range=300.0))
    expected = _two_levels(np.array([0.9, 0.1]), 300.0, 7)
    np.testing.assert_allclose(ratio(jnp.array([0.9, 0.1]), jnp.array([0.0, 300.0])), expected, ACCURACY["float64"])


@jax.jit
@jax.vmap
def _many(p, r, k, temperature):
    return theory.k_way_ratio(p, r, k, temperature=temperature)


def _ratios(p, r, k, temperature: float | np.ndarray = 1.0, dtype="float64"):
    """H of each row by one program for all tests: rows are added up to 192, and points without mass up to five."""
    rows, points = np.shape(r)
    more = (0, 192 - rows)
    p, r = np.pad(p, (more, (0, 5 - points))), np.pad(r, (more, (0, 5 - points)), mode="edge")
    k, temperature = np.pad(k, more, mode="edge"), np.pad(np.broadcast_to(temperature, rows), more, mode="edge")
    with jax.enable_x64(dtype == "float64"):
        given = [jnp.asarray(value, dtype) for value in (p, r, k, temperature)]
        return np.asarray(_many(*given), float)[:rows, :points]


def _with_sizes(pairs, sizes):
    """Each pair of `p` and `r` with each of the sizes: `[n, 5]`, `[n, 5]` and `[n]`."""
    p, r, k = zip(*[(p, r, float(k)) for p, r in pairs for k in sizes], strict=True)
    return np.array(p), np.array(r), np.array(k)


def _awkward():
    """Pairs of `p` and `r` on five points: plain, a rare top, ties, rows without mass, nearly and quite all on one."""
    top, bottom = LEVELS.argmax(), LEVELS.argmin()
    plain = np.array([0.1, 0.3, 0.15, 0.25, 0.2])
    rare_top = np.where(np.arange(5) == top, 1e-6, (1 - 1e-6) / 4)
    hollow = np.where(np.isin(np.arange(5), [top, bottom]), 0.0, 1 / 3)
    lowest = np.where(np.arange(5) == bottom, 1 - 4e-9, 1e-9)
    ties = np.array([0.3, 0.0, 1.0, 0.3, 1.0])
    return [(plain, LEVELS), (rare_top, LEVELS), (plain, ties), (hollow, LEVELS), (lowest, LEVELS), (rare_top, ties)]


@functools.cache
def _others(points, k):
    """All draws of the k − 1 others, `[points^(k−1), k − 1]`."""
    return np.array(list(itertools.product(range(points), repeat=k - 1)), int).reshape(points ** (k - 1), k - 1)


def _enumerated(p, r, k):
    rows, a = _others(len(p), k), np.exp(r - r.max())
    probability, rest = p[rows].prod(axis=1), a[rows].sum(axis=1)
    return np.array([probability @ (k * own / (own + rest)) for own in a])


def _enumerated_best(p, r, k):
    rows = _others(len(p), k)
    tied, beaten = (r[rows] == r[:, None, None]).sum(axis=2), (r[rows] > r[:, None, None]).any(axis=2)
    return (~beaten * k / (1 + tied)) @ p[rows].prod(axis=1)


def _two_levels(p, gap, k):
    """H at the bottom and at the top: how many of the others are on top is binomial."""
    i, low, (log_bottom, log_top) = np.arange(k), np.exp(-gap), np.log(p / p.sum())
    log_binomial = gammaln(k) - gammaln(i + 1) - gammaln(k - i) + i * log_top + (k - 1 - i) * log_bottom
    rest = i + (k - 1 - i) * low
    return np.array([np.exp(log_binomial) @ (k * own / (own + rest)) for own in (low, 1.0)])


def _integral(p, a, k, own):
    """K ∫ a e^{−as} (Σ_j p_j e^{−a_j s})^{K−1} ds over s > 0."""

    def integrand(s):
        return k * own * np.exp(-own * s) * (p @ np.exp(-a * s)) ** (k - 1)

    return quad(integrand, 0, np.inf, epsabs=0, epsrel=1e-11, limit=200)[0]
