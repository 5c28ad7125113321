"""Bounds hold over 1,200 random and awkward instances, and are as sharp as they are said to be."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory

pytestmark = pytest.mark.usefixtures("x64")

EPS = float(np.finfo(np.float64).eps)
NUM, POINTS, GENERATIONS = 1200, 6, 8
ACCURACY = 1e-8  # of the operator in float64 for every real K, relative


class Instances(NamedTuple):
    p: np.ndarray  # [n, 6], all above zero
    r: np.ndarray  # [n, 6], at most 0, which one point has
    k: np.ndarray  # [n]
    lam: np.ndarray  # [n]


@pytest.fixture(scope="module")
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def instances(x64):
    """Ranges 1e-3..100, K 1..1000 (half of them whole, some infinite), λ 1e-3..1e3 (some infinite), rare levels."""
    rng = np.random.default_rng(0)
    unit = rng.uniform(size=(NUM, POINTS))
    unit[:, 0], unit[:, 1] = 0, 1
    rarest = 10 ** rng.uniform(-9, 0, (NUM, 1))  # on the lowest level in a third, on the highest in another
    p = rng.dirichlet(np.ones(POINTS), NUM) + 1e-12
    rare = (np.arange(NUM) % 3)[:, None] == np.arange(POINTS)
    p = np.where(rare & (np.arange(POINTS) < 2), p * rarest, p)
    k = 10 ** rng.uniform(0, 3, NUM)
    k = np.where(np.arange(NUM) % 2 == 0, k, k.round())
    k = np.where(np.arange(NUM) % 20 == 0, np.inf, k)
    lam = np.where(np.arange(NUM) % 10 == 1, np.inf, 10 ** rng.uniform(-3, 3, NUM))
    r = 10 ** rng.uniform(-3, 2, (NUM, 1)) * (unit - 1)
    return Instances(p / p.sum(axis=1, keepdims=True), r, k, lam)


@pytest.fixture(scope="module")
def near_tight(x64):
    """Where the increment bound nearly is one: small ranges, or almost all mass at the top and K large."""
    rng = np.random.default_rng(1)
    p, r = rng.dirichlet(np.ones(POINTS), NUM) + 1e-3, 1e-3 * rng.uniform(-1, 0, (NUM, POINTS))
    k = 10 ** rng.uniform(np.log10(1.5), 3, NUM)
    low = np.arange(NUM) % 2 == 0
    p[low], r[low], k[low] = [1.0, *[1e-4] * 5], [0.0, *[-100.0] * 5], 1000.0
    return Instances(p / p.sum(axis=1, keepdims=True), r - r.max(axis=1, keepdims=True), k, np.full(NUM, 1e-3))


def test_the_increment_bound_holds(instances):
    bound = _many(_increment_bound, instances)
    mean, later = _mean_and_next(instances)
    assert (bound[instances.k > 1] > 0).all()
    assert (later - mean >= bound - ACCURACY * mean).all()
    told_apart = bound > 10 * ACCURACY * mean
    assert told_apart.sum() > 0.9 * NUM
    assert (later > mean)[told_apart].all()


def test_the_increment_bound_could_not_be_a_percent_larger(near_tight):
    bound = _many(_increment_bound, near_tight)
    mean, later = _mean_and_next(near_tight)
    assert (later - mean >= bound).all()
    assert (later - mean < 1.01 * bound).all()


def test_the_increment_is_variance_over_mean_of_the_candidates(instances):
    """E[V̂_K / ā_K], the biased variance over the mean of the K values of e^r, by enumeration."""
    small = instances._replace(k=np.array([2, 3, 5])[np.arange(NUM) % 3])
    mean, later = _mean_and_next(small)
    for k, start in ((2, 0), (3, 1), (5, 2)):
        rows = np.array(list(itertools.product(range(POINTS), repeat=k)))
        for i in range(start, 60, 3):
            values, probability = np.exp(small.r[i])[rows], small.p[i][rows].prod(axis=1)
            expected = probability @ (values.var(axis=1) / values.mean(axis=1))
            np.testing.assert_allclose(later[i] - mean[i], expected, rtol=ACCURACY, atol=64 * EPS * mean[i])


def test_the_increment_bound_looks_at_rewards_that_have_mass():
    p, r = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.0, 1.0, 90.0])
    variance = 0.25 * (np.e - 1) ** 2
    np.testing.assert_allclose(theory.reward_increment_bound(p, r, k=4), 0.75 * variance / np.e, rtol=1e-14)
    np.testing.assert_allclose(theory.reward_increment_bound(p, r, k=jnp.inf), variance / np.e, rtol=1e-14)


@pytest.mark.parametrize("paper", [False, True])
def test_the_reward_floor_holds(paper, instances):
    mean = np.sum(_many(_course, instances) * np.exp(instances.r)[:, None], axis=2)
    floor = _many(_paper_floor if paper else _floor, instances)
    assert (mean[:, 1:] >= floor[:, None] * (1 - ACCURACY)).all()


def test_the_reward_floor_could_not_be_a_percent_larger(near_tight):
    course, floor = _many(_course, near_tight), _many(_floor, near_tight)
    mean, later = (np.sum(course[:, t] * np.exp(near_tight.r), axis=1) for t in (0, 1))
    assert (later >= floor).all()
    assert (later - mean < 1.01 * (floor - mean)).all()


@pytest.mark.parametrize(("paper", "power"), [(False, 2), (True, 3)])
def test_the_reward_floor_adds_its_share_of_the_increment_bound(paper, power):
    p, r, lam = jnp.array([0.2, 0.5, 0.3]), jnp.array([1.0, 0.0, 2.0]), jnp.array([0.0, 0.25, 3.0, jnp.inf])
    bound = theory.reward_increment_bound(p, r, k=5)
    factor = [0.0, 0.25 / 1.25**power, 3 / 4**power, 0.0]
    floor = theory.reward_floor(p, r, k=5, lam=lam, paper=paper)
    np.testing.assert_allclose(floor, p @ jnp.exp(r) + np.array(factor) * bound, rtol=1e-14)


def test_the_kl_ceiling_bounds_every_log_ratio(instances):
    rng = np.random.default_rng(2)
    k = np.where(np.isinf(instances.k), 1000.0, instances.k)
    stable = instances._replace(k=k, lam=rng.uniform(0, 0.99, NUM) / np.maximum(k - 1, 1e-3))
    ratio = np.log(_many(_course, stable) / stable.p[:, None])
    ceiling = _many(_ceiling, stable)[:, None]
    assert np.isfinite(ceiling).all()
    assert (ratio.max(axis=2) <= ceiling + ACCURACY).all()
    divergence = np.sum(stable.p[:, None] * np.exp(ratio) * ratio, axis=2)
    assert (divergence <= ceiling + ACCURACY).all()


def test_a_bounded_reward_puts_effective_k_in_the_place_of_k(instances):
    ceiling = _many(_bounded_ceiling, instances)
    stable = np.isfinite(ceiling)
    assert 0.1 * NUM < stable.sum() < NUM
    ratio = np.max(_many(_course, instances) / instances.p[:, None], axis=(1, 2))
    assert (np.log(ratio[stable]) <= ceiling[stable] + ACCURACY).all()


def test_real_data_keep_their_share(instances):
    """KL(p_ref ‖ p_t) ≤ log(1 + λ), as no point falls below (1 − η) p_ref."""
    ratio = np.min(_many(_course, instances) / instances.p[:, None], axis=(1, 2))
    assert (ratio >= (1 - ACCURACY) / (1 + instances.lam)).all()


def test_the_kl_ceiling_is_sharp_for_a_rare_top(x64):
    """The top's share u grows to u_ref (1 − η) / (1 − ηK) but for a relative term of order K u ≤ 1e-5."""
    rare, k = 1e-9, jnp.array([1.5, 2.0, 7.0, 100.0])
    p, r = jnp.array([rare, *[(1 - rare) / 5] * 5]), jnp.array([0.0, *[-100.0] * 5])
    lam = 0.5 / (k - 1)

    def limit(k, lam):
        return theory.mixed_limit(p, r, k=k, lam=lam)[0]

    reached = np.log(np.asarray(jax.jit(jax.vmap(limit))(k, lam)) / rare)
    np.testing.assert_allclose(reached, theory.kl_ceiling(k=k, lam=lam), atol=1e-5)


def test_the_kl_ceiling_is_infinite_from_the_threshold_on():
    k = jnp.array([3.0, 3.0, 5.0, np.inf, 2.0, 1.0, np.inf, 3.0])
    lam = jnp.array([0.5, 0.6, 0.25, 1e-9, np.inf, np.inf, 0.0, 0.25])
    expected = [np.inf, np.inf, np.inf, np.inf, np.inf, 0.0, 0.0, np.log(2)]
    np.testing.assert_allclose(theory.kl_ceiling(k=k, lam=lam), expected, rtol=1e-14)


def test_the_tail_rate_is_the_rate_seen():
    """1 − P_t(top) shrinks ρ-fold a generation in the end, by the gap to the next level, not to the others."""
    k, gap = (jnp.asarray(value.ravel()) for value in np.meshgrid([2.0, 3.5, 7.0, np.inf], [0.7, 2.0]))

    def below(k, gap):
        p, r = jnp.array([0.3, 0.3, 0.4]), jnp.stack([0 * gap, -gap, -3 * gap])
        return theory.trajectory(p, r, k=k, lam=jnp.inf, num=60)[:, 1:].sum(axis=1)

    rest = np.asarray(jax.jit(jax.vmap(below))(k, gap))
    late = np.argmax(rest < 1e-8, axis=1)  # there the rate is within K · 1e-8 of its limit
    assert (late > 0).all()
    seen = np.array([row[t + 1] / row[t] for row, t in zip(rest, late, strict=True)])
    np.testing.assert_allclose(seen, theory.tail_rate(k=k, gap=gap), rtol=1e-6)


def test_effective_k_bounds_the_ratio_and_is_reached(instances):
    ceiling = _many(_effective_k, instances)
    ratio = _many(_ratio, instances)
    assert (ratio.max(axis=1) <= ceiling * (1 + ACCURACY)).all()
    lowest = instances._replace(p=np.eye(POINTS)[instances.r.argmin(axis=1)])  # all that a newcomer at the top meets
    ratio = _many(_ratio, lowest)
    np.testing.assert_allclose(ratio.max(axis=1), ceiling, rtol=ACCURACY)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.kl_ceiling(k=0.5, lam=1.0), "k=0.5 is not a group size"),
        (lambda: theory.kl_ceiling(k=2, lam=-1.0), "lam=-1.0 is not a ratio"),
        (lambda: theory.tail_rate(k=2, gap=0.0), "gap=0.0 is not a gap between reward levels"),
    ],
)
def test_refuses_and_names_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _floor(p, r, k, lam):
    return theory.reward_floor(p, r, k=k, lam=lam)


def _paper_floor(p, r, k, lam):
    return theory.reward_floor(p, r, k=k, lam=lam, paper=True)


def _ceiling(p, r, k, lam):
    del p, r
    return theory.kl_ceiling(k=k, lam=lam)


def _bounded_ceiling(p, r, k, lam):
    return theory.kl_ceiling(k=_effective_k(p, r, k, lam), lam=lam)


def _increment_bound(p, r, k, lam):
    del lam
    return theory.reward_increment_bound(p, r, k=k)


def _effective_k(p, r, k, lam):
    del p, lam
    return theory.effective_k(k=k, reward_range=jnp.ptp(r))


def _ratio(p, r, k, lam):
    del lam
    return theory.k_way_ratio(p, r, k)


def _course(p, r, k, lam):
    return theory.trajectory(p, r, k=k, lam=lam, num=GENERATIONS)


@functools.cache
def _program(statement):
    return jax.jit(jax.vmap(statement))


def _many(statement, instances):
    """A statement about each instance, by one program."""
    return np.asarray(_program(statement)(*(jnp.asarray(value) for value in instances)))


def _mean_and_next(instances):
    """E[e^r] before and after one generation of the pure loop."""
    course = _many(_course, instances._replace(lam=np.full(NUM, np.inf)))
    return (np.sum(course[:, t] * np.exp(instances.r), axis=1) for t in (0, 1))
