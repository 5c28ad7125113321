"""Forecasts against exact numbers, closed forms and brute force, and their bands against simulated samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from curated_retraining import theory
from curated_retraining.forecast import bootstrap, forecast, required_real_share

TOP = np.array([1] + [0] * 9)  # a tenth on the better of two levels, 5 apart
TWO_LEVELS = 5.0 * TOP


def three_classes(num=300, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, num)
    return rng.normal(size=num) + np.array([0.0, 0.5, 1.0])[label], label


def test_two_levels_take_the_printed_course():
    course = forecast(TWO_LEVELS, TOP, k=4, lam=np.inf, generations=3)
    np.testing.assert_allclose(course.share[:, 1], [0.1, 0.3378, 0.7977, 0.9958], rtol=0, atol=0.5e-4)  # half a digit
    np.testing.assert_allclose(course.reward_mean, 5 * course.share[:, 1], rtol=1e-5)
    np.testing.assert_allclose(course.kl[0], 0.0, atol=1e-6)
    assert course.winner == 1 and course.limit_share.tolist() == [0.0, 1.0] and course.limit_reward_mean == 5
    mixed = forecast(TWO_LEVELS, TOP, k=4, lam=1.0, generations=1)
    np.testing.assert_allclose(mixed.limit_share[1], 0.520, rtol=0, atol=0.5e-3)
    np.testing.assert_allclose(mixed.limit_reward_mean, 5 * mixed.limit_share[1], rtol=1e-5)


def test_every_number_is_that_of_the_exact_course():
    reward, label = three_classes()
    found = forecast(reward, label, k=3, lam=2.0, generations=5, temperature=0.7)
    p_0, r = jnp.full(300, 1 / 300), jnp.asarray(reward, jnp.float32)
    course = np.asarray(jax.jit(lambda p, r: theory.trajectory(p, r, k=3, lam=2.0, num=5, temperature=0.7))(p_0, r))
    share = np.stack([course[:, label == c].sum(axis=1) for c in range(3)], axis=1)
    np.testing.assert_allclose(found.share, share, rtol=1e-5)
    np.testing.assert_allclose(found.reward_mean, course @ reward, rtol=1e-4)
    np.testing.assert_allclose(found.exp_reward_mean, course @ np.exp(reward), rtol=1e-4)
    entropy = -np.sum(share * np.log(share), axis=1)
    np.testing.assert_allclose(found.entropy, entropy, rtol=1e-5)
    np.testing.assert_allclose(found.effective_classes, np.exp(entropy), rtol=1e-5)
    np.testing.assert_allclose(found.kl, np.sum(course * np.log(course * 300), axis=1), rtol=1e-3, atol=1e-6)


def test_real_samples_of_their_own_come_in_at_their_share():
    """The first generation is (1 − η) real + η curated; real data have a class that the model has lost."""
    reward, label = three_classes()
    real_reward, real_label = np.array([0.0, 1.0, 2.0, 2.0]), np.array([0, 1, 3, 3])
    found = forecast(reward, label, k=2, lam=3.0, generations=4, real_reward=real_reward, real_label=real_label)
    alone = forecast(reward, label, k=2, lam=np.inf, generations=1)
    assert found.share.shape == (5, 4)
    np.testing.assert_allclose(found.share[0], [*alone.share[0], 0.0], rtol=1e-5)
    real = np.array([0.25, 0.25, 0.0, 0.5])
    np.testing.assert_allclose(found.share[1], 0.25 * real + 0.75 * np.append(alone.share[1], 0.0), rtol=1e-4)
    known = np.array(found.share)[1:]
    with np.errstate(divide="ignore"):
        assert np.isinf(found.kl[0])  # the model has a class that the real data do not
    assert (known[:, 3] > 0.1).all()


def test_what_the_model_alone_has_comes_to_stay():
    """The model's best samples are better than any real one: the limit is where a long course ends."""
    reward, label = np.array([0.0, 0.0, 4.0]), np.array([0, 0, 1])
    real = {"real_reward": np.array([0.0, 1.0]), "real_label": np.array([0, 0])}
    found = forecast(reward, label, k=4, lam=4.0, generations=400, **real)
    assert found.winner == 1 and found.limit_share[1] > 0.5
    np.testing.assert_allclose(found.limit_share, found.share[-1], atol=1e-4)  # float32


def test_nobody_chooses_among_one():
    reward, label = three_classes(30)
    course = forecast(reward, label, k=1, lam=np.inf, generations=2)
    np.testing.assert_allclose(course.limit_share, course.share[0], rtol=1e-5)


def test_half_life_is_read_off_a_geometric_decay():
    """K = ∞: the worse of two levels shrinks by e^−Δ relative to the better: P_t = P / (P + (1 − P) e^{Δt})."""
    gap = 0.3
    course = forecast(gap * TOP[::-1], TOP[::-1], k=np.inf, lam=np.inf, generations=20)
    rest = 0.9 / (0.9 + 0.1 * np.exp(gap * np.arange(21)))
    np.testing.assert_allclose(course.share[:, 0], rest, rtol=1e-5)
    t = np.log(0.5 / 0.5 * (0.9 / 0.45 - 0.9) / 0.1) / gap  # where P_t = 0.45
    np.testing.assert_allclose(course.half_life[0], t, atol=gap**2)  # the logarithm is straight between generations
    assert np.isinf(course.half_life[1])


@pytest.mark.parametrize("kind", ["class", "entropy"])
def test_the_required_share_is_where_a_scan_says(kind):
    reward, label = three_classes()
    floors = {"keep": (0, 0.2)} if kind == "class" else {"entropy_floor": 1.0}
    found = required_real_share(reward, label, k=4, generations=8, **floors)
    shares = np.linspace(0, 1, 101)
    lams = jnp.asarray((1 - shares) / np.maximum(shares, 1e-30), jnp.float32)
    courses = jax.jit(
        lambda lams: jax.lax.map(lambda lam: forecast(reward, label, k=4, lam=lam, generations=8, classes=3), lams)
    )(lams)
    least = (courses.share[:, 1:, 0].min(axis=1) - 0.2) if kind == "class" else courses.entropy[:, 1:].min(axis=1) - 1.0
    scan = shares[np.nonzero(np.asarray(least) < 0)[0].max()]
    assert 0 < scan < 1
    assert scan - 1e-6 <= found.share <= scan + 0.01 + 1e-6
    np.testing.assert_allclose(found.lam, (1 - found.share) / found.share, rtol=1e-6)


def test_the_required_share_knows_all_and_nothing():
    reward, label = three_classes()
    common = {"k": 2, "generations": 2}
    assert required_real_share(reward, label, keep=(2, 0.01), **common)[:2] == (0.0, np.inf)
    assert np.isnan(required_real_share(reward, label, keep=(0, 0.6), **common).share)
    own = forecast(reward, label, lam=0.0, **common).share[0]  # a floor that real data alone just keep
    assert required_real_share(reward, label, keep=(0, float(own[0])), **common).share > 0.9


def test_the_required_share_asks_nothing_of_the_first_model():
    """It has nothing of class 0, which is half of the real data; nobody likes anything better: 0.4 · 1/2 = 0.2."""
    labels = {"label": np.ones(4, int), "real_reward": np.zeros(4), "real_label": np.array([0, 0, 1, 1])}
    found = required_real_share(np.zeros(4), **labels, k=2, generations=1, keep=(0, 0.2))
    np.testing.assert_allclose(found.share, 0.4, atol=2e-5)  # a floor may be missed by 64 roundings


@jax.jit
def bands(keys):
    """Of a share of 0.3 after three generations, by 200 samples a key."""

    def band(key):
        data_key, boot_key = jax.random.split(key)
        label = jax.random.bernoulli(data_key, 0.3, (200,)).astype(int)
        options = {"k": 2, "lam": 1.0, "generations": 3, "classes": 2, "reward_range": 4.0}
        low, high = bootstrap(boot_key, 1.0 * label, label, num=100, **options)
        return low.share[3, 1], high.share[3, 1]

    return jax.lax.map(band, keys)


@pytest.mark.statistical
def test_bands_cover_the_truth_as_often_as_they_say():
    """200 sets: a 90 % band covers in 178 ± 4.4 (it did in 17,812 of 20,000); 4.5 of these."""
    with jax.debug_key_reuse(False):  # which takes the keys of a scan under vmap for used ones
        low, high = bands(jax.random.split(jax.random.key(0), 200))
    p, r = jnp.array([0.7, 0.3]), jnp.array([0.0, 1.0])
    truth = theory.trajectory(p, r, k=2, lam=1.0, num=3)[3, 1]
    inside = int(jnp.sum((low <= truth) & (truth <= high)))
    assert abs(inside - 178) < 4.5 * 4.4 and (low < high).all()


@pytest.mark.statistical
def test_bands_draw_the_real_samples_on_their_own():
    """Even halves of 200 alike, where nobody cares: a sum of both has a band narrower by √½ ± 0.02 (one σ).

    Of 1,600 resamples a quantile of 5 % has an error of √(0.05 · 0.95 / 1,600) / φ(1.645) = 0.053 standard deviations.
    """
    label = np.arange(200) % 2
    samples = {"label": label, "real_reward": np.zeros(200), "real_label": label}
    low, high = bootstrap(jax.random.key(0), np.zeros(200), **samples, k=2, lam=1.0, generations=1, num=1600)
    first, later = high.share[:, 1] - low.share[:, 1]
    assert abs(later / first - 0.5**0.5) < 4.5 * 0.02
    width = first / (0.25 / 200) ** 0.5
    assert abs(width - 2 * 1.645) < 4.5 * 0.053 * 2**0.5 + 0.14  # the last is a sample more or less


def test_derivatives_are_those_of_finite_differences():
    with jax.enable_x64(True):
        reward, label = three_classes(30)

        def value(reward, lam):
            course = forecast(reward, label, k=3, lam=lam, generations=3, classes=3, reward_range=8.0)
            return course.share[3, 2] + course.entropy[2] + course.limit_reward_mean

        of, lam = jax.jit(value), 1.5
        by_reward, by_lam = jax.jit(jax.grad(value, argnums=(0, 1)))(reward, lam)
        step = 1e-5  # central: errors of order 1e-10 and of rounding, 1e-11
        np.testing.assert_allclose(by_lam, (of(reward, lam + step) - of(reward, lam - step)) / (2 * step), rtol=1e-6)
        for i in (0, 7):
            ends = [of(reward + sign * step * np.eye(30)[i], lam) for sign in (1, -1)]
            np.testing.assert_allclose(by_reward[i], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-9)


def test_it_vmaps_and_keeps_its_precision():
    reward, label = three_classes(30)
    k, lam, temperature = jnp.array([2.0, 5.0]), jnp.array([1.0, np.inf]), jnp.array([1.0, 0.5])

    def of(reward, k, lam, temperature):
        return forecast(reward, label, k=k, lam=lam, generations=2, temperature=temperature, classes=3)

    rewards = jnp.stack([jnp.asarray(reward), 2 * jnp.asarray(reward)])
    together = jax.jit(jax.vmap(of))(rewards, k, lam, temperature)
    alone = forecast(2 * reward, label, k=5.0, lam=np.inf, generations=2, temperature=0.5)
    np.testing.assert_allclose(together.share[1], alone.share, rtol=1e-4, atol=1e-6)
    assert together.limit_share[1].max() == 1.0 and together.limit_share[0].max() < 1
    with jax.enable_x64(True):
        assert forecast(reward, label, k=2, lam=1.0, generations=1).share.dtype == jnp.float64
        assert forecast(reward.astype(np.float32), label, k=2, lam=1.0, generations=1).share.dtype == jnp.float32


def test_short_floats_are_forecast_as_float32():
    """In bfloat16 a course stands still as soon as generations differ by less than 0.4."""
    reward = jnp.asarray(three_classes(30)[0], jnp.bfloat16)
    short, whole = (forecast(r, k=2, lam=1.0, generations=1) for r in (reward, reward.astype(jnp.float32)))
    jax.tree.map(np.testing.assert_array_equal, short, whole)
    assert short.limit_reward_mean.dtype == jnp.float32


GOOD = {"k": 2, "lam": 1.0, "generations": 1}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forecast(np.zeros((3, 2)), **GOOD), r"reward of shape \(3, 2\) is not a row"),
        (lambda: forecast(np.zeros(0), **GOOD), r"reward of shape \(0,\)"),
        (lambda: forecast(np.array([0.0, np.nan]), **GOOD), "reward=.* not finite"),
        (lambda: forecast(np.zeros(3), np.zeros(2, int), **GOOD), r"label of shape \(2,\)"),
        (lambda: forecast(np.zeros(3), np.zeros(3), **GOOD), "label of shape .* float"),
        (lambda: forecast(np.zeros(2), np.array([0, -1]), **GOOD), "label=.* outside 0..0"),
        (lambda: forecast(np.zeros(2), np.array([0, 3]), classes=3, **GOOD), "label=.* outside 0..2"),
        (lambda: forecast(np.zeros(2), real_label=np.zeros(2, int), **GOOD), "real_label is given without"),
        (lambda: forecast(np.array([-1e30, 1e30], np.float32), **GOOD), r"rewards span 2e\+30 temperatures"),
        (lambda: forecast(np.zeros(2), k=2, lam=1.0, generations=-1), "generations=-1 is no number"),
        (lambda: required_real_share(np.zeros(2), k=2, generations=0, entropy_floor=0.1), "generations=0 has no"),
        (lambda: forecast(np.zeros(2), k=0.5, lam=1.0, generations=1), "k=0.5 is not a group size"),
        (lambda: forecast(np.zeros(2), k=2, lam=-1.0, generations=1), "lam=-1.0 is not a ratio"),
        (
            lambda: forecast(np.zeros(2), np.zeros(2, int), real_reward=np.zeros(2), **GOOD),
            "one of label and real_label",
        ),
        (lambda: bootstrap(jax.random.key(0), np.zeros(2), num=1, **GOOD), "num=1 resamples"),
        (lambda: bootstrap(jax.random.key(0), np.zeros(2), level=1.0, **GOOD), "level=1.0"),
        (lambda: required_real_share(np.zeros(2), k=2, generations=1), "say what is to be kept"),
        (lambda: required_real_share(np.zeros(2), k=2, generations=1, keep=(1, 0.1)), r"keep=\(1, 0.1\)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
