import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.special import softmax
from scipy.stats import norm

import curated_retraining as cr
from curated_retraining import rewards

RTOL = 1e-5  # float32: some tens of roundings of 6e-8


def linear(matrix, x):
    """Logits `[n, classes]` of events of any shape."""
    return x.reshape(x.shape[0], -1) @ matrix


def first(x):
    return x[:, 0]


@pytest.fixture
def classified():
    """A classifier of images `[4, 2, 3]` into 5 classes, the images, and their probabilities."""
    rng = np.random.default_rng(0)
    matrix, x = rng.normal(size=(6, 5)), rng.normal(size=(4, 2, 3))
    return Partial(linear, jnp.asarray(matrix)), jnp.asarray(x), softmax(x.reshape(4, 6) @ matrix, axis=-1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, -1.0), "r_min=-1"),
        ((1.0, np.nan), "r_min=nan"),
        ((1.0, 1.0, -2.0), "gamma=-2"),
        ((1, 1, np.inf), "gamma"),
    ],
)
def test_distance_rejects_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        rewards.distance(*arguments)


@pytest.mark.parametrize("event", [(2,), (3, 2, 1), ()])
def test_distance_is_zero_within_its_radius_and_falls_with_slope_gamma_beyond(event):
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(50, *event)), rng.normal(size=event)
    away = np.sqrt(np.sum((x - target).reshape(50, -1) ** 2, axis=-1))
    r_min = np.median(away)
    expected = np.where(away < r_min, 0, -7 * (away - r_min))
    got = rewards.distance(jnp.asarray(target), float(r_min), 7.0)(jnp.asarray(x))
    np.testing.assert_allclose(got, expected, rtol=RTOL, atol=7 * RTOL)  # near the edge numbers of order 7 cancel


def test_distance_takes_sequences_of_tokens():
    x = jnp.array([[0, 0], [3, 4], [6, 8]])
    np.testing.assert_array_equal(rewards.distance(jnp.array([0, 0]), 5.0, 2.0)(x), [0, 0, -10])


def test_distance_of_pixels_does_not_wrap():
    x = jnp.array([[16, 0], [100, 0], [0, 255]], jnp.uint8)
    got = rewards.distance(jnp.zeros(2, jnp.uint8), 0.0, 1.0)(x)
    np.testing.assert_allclose(got, [-16, -100, -255], rtol=RTOL)


def test_distance_has_a_derivative_at_its_target():
    target = jnp.array([1.0, -2.0])
    for r_min in (0.0, 1.0):
        slope = jax.grad(lambda x, r_min=r_min: rewards.distance(target, r_min)(x[None])[0])(target)
        np.testing.assert_array_equal(slope, 0)


def test_class_probability_is_gamma_times_the_softmax(classified):
    classifier, x, probability = classified
    for label in (0, 3):
        got = rewards.class_probability(classifier, label, 5.0)(x)
        np.testing.assert_allclose(got, 5 * probability[:, label], rtol=RTOL)


@pytest.mark.parametrize("label", [5, -1])
def test_class_probability_has_no_number_for_a_class_that_is_not_there(classified, label):
    """Whether it is refused or becomes NaN: the probability of another class would be a silent mistake."""
    classifier, x, _ = classified
    try:
        got = rewards.class_probability(classifier, label)(x)
    except ValueError:
        return
    assert np.isnan(got).all()


def test_confidence_is_gamma_times_the_largest_probability(classified):
    classifier, x, probability = classified
    np.testing.assert_allclose(rewards.confidence(classifier, 15.0)(x), 15 * probability.max(axis=-1), rtol=RTOL)


def test_log_density_is_gamma_times_it():
    x = jnp.linspace(-2, 2, 9)
    got = rewards.log_density(jax.scipy.stats.norm.logpdf, 3.0)(x)
    np.testing.assert_allclose(got, 3 * norm.logpdf(np.asarray(x)), rtol=RTOL)


def test_stack_gives_a_column_to_each_annotator():
    x = jnp.arange(6.0).reshape(3, 2)
    got = rewards.stack(first, rewards.negate(first), lambda x: x.sum(axis=-1))(x)
    np.testing.assert_array_equal(got, [[0, 0, 1], [2, -2, 5], [4, -4, 9]])


def test_combine_is_the_weighted_sum():
    x = jnp.arange(6.0).reshape(3, 2)
    got = rewards.combine([first, lambda x: x[:, 1]], jnp.array([2.0, -0.5]))(x)
    np.testing.assert_array_equal(got, [-0.5, 2.5, 5.5])
    for weights, shape in ((jnp.ones(2), r"\(2,\)"), (1.0, r"\(\)")):
        with pytest.raises(ValueError, match=f"1 rewards need a row of as many weights, not one of shape {shape}"):
            rewards.combine([first], weights)


def test_scale_and_negate():
    x = jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(rewards.scale(first, 3.0)(x), [0, 6, 12])
    np.testing.assert_array_equal(rewards.negate(rewards.negate(first))(x), first(x))


def test_new_numbers_cause_no_retrace():
    traced = []

    def user(x):
        traced.append(x.shape)
        return x[:, 0]

    def build(seed):
        rng = np.random.default_rng(seed)
        target, matrix, weights = (jnp.asarray(rng.normal(size=shape)) for shape in ((2,), (2, 3), (3,)))
        near = rewards.distance(target, 1.0 + seed, 2.0 + seed)
        sure = rewards.confidence(Partial(linear, matrix), 1.0 + seed)
        return rewards.combine([rewards.scale(user, 1.0 + seed), near, sure], weights)

    x = jnp.ones((4, 2))
    evaluate = jax.jit(lambda reward, x: reward(x))
    got = [evaluate(build(seed), x) for seed in (0, 1)]
    assert len(traced) == 1
    np.testing.assert_allclose(got[1], build(1)(x), rtol=RTOL)
    assert not np.allclose(got[0], got[1])


def test_large_arrays_are_inputs_of_the_program_and_no_part_of_it():
    big = jnp.asarray(np.random.default_rng(2).normal(size=(300, 300)))
    classifier = Partial(linear, big)
    reward = rewards.stack(
        rewards.distance(big[0]),
        rewards.class_probability(classifier, 3),
        rewards.confidence(classifier),
        rewards.scale(Partial(lambda matrix, x: (x @ matrix).sum(axis=-1), big), 2.0),
    )
    program = jax.jit(lambda reward, x: reward(x)).lower(reward, big).as_text()
    assert len(program) < 8 * big.size  # a constant is written in 8 characters a number


def test_a_tempered_classifier_has_softer_probabilities(classified):
    classifier, x, probability = classified
    got = rewards.class_probability(rewards.tempered(classifier, 2.5), 3, 5.0)(x)
    np.testing.assert_allclose(got, 5 * softmax(np.log(probability) / 2.5, axis=-1)[:, 3], rtol=RTOL)
    with pytest.raises(ValueError, match="temperature=0"):
        rewards.tempered(classifier, 0.0)


def test_an_entropy_bonus_favours_the_rare_by_their_share():
    """Of five points three are of class 0 and two of class 2."""
    x = jnp.array([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [0.0, 0.0], [2.0, 5.0]])
    got = rewards.entropy_bonus(lambda x: x[:, 1], lambda x: x[:, 0].astype(int), 3, 2.0)(x)
    share = np.array([3, 2, 3, 3, 2]) / 5
    np.testing.assert_allclose(got, np.array([1, 1, 3, 0, 5]) - 2 * np.log(share), rtol=RTOL)
    unknown = rewards.entropy_bonus(lambda x: x[:, 1], lambda x: x[:, 0].astype(int), 2, 2.0)(x)
    np.testing.assert_array_equal(np.isnan(unknown), x[:, 0] == 2)
    with pytest.raises(ValueError, match="strength=-1"):
        rewards.entropy_bonus(first, first, 3, -1.0)


def test_an_entropy_bonus_holds_a_loop_at_its_fixed_point(assert_mean):
    """Rewards by class: of a pool with the shares P ∝ e^{r/c} 20,000 choices keep P, at K = 2 and K = 4."""
    r, c, num = np.array([0.0, 1.0, -0.5]), 1.5, 20_000
    p = softmax(r / c)
    rng = np.random.default_rng(0)
    reward = rewards.entropy_bonus(lambda x: jnp.asarray(r)[x], lambda x: x, 3, c)
    for k in (2, 4):
        pool = jnp.asarray(rng.permutation(np.searchsorted(np.cumsum(p), (np.arange(num * k) + 0.5) / (num * k))))
        curator = cr.k_way(k, cr.luce())
        kept = jax.jit(lambda key, pool, curator=curator: curator(key, pool, reward(pool)))(jax.random.key(0), pool)
        assert_mean(np.asarray(kept.x)[:, None] == np.arange(3), p)
