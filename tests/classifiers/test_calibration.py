import jax
import numpy as np
import pytest

from curated_retraining.classifiers import calibration
from curated_retraining.networks.classifier import Classifier

RNG = np.random.default_rng(0)


def drawn(num, heat):
    """Logits `[num, 5]` that are `heat` times too sure, and labels drawn from the true shares."""
    logits = RNG.normal(0, 2, (num, 5))
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (RNG.uniform(size=(num, 1)) > share.cumsum(axis=1)).sum(axis=1)
    return heat * logits, label


def logits_of(share):
    return np.log(np.array(share))


def test_accuracy_is_the_share_of_right_labels():
    assert calibration.accuracy(logits_of([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3], [0.2, 0.8]]), [0, 1, 1, 1]) == 0.75


def test_calibration_error_by_hand():
    """Of four bins, two are used: up to 0.75 with 0.6 and 0.7, of which one is right, and up to 1 with 0.9, right."""
    logits = logits_of([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
    expected = (2 / 3) * abs(0.5 - 0.65) + (1 / 3) * abs(1 - 0.9)
    assert calibration.expected_calibration_error(logits, [0, 0, 0], bins=4) == pytest.approx(expected, rel=1e-12)
    assert calibration.expected_calibration_error(logits, [0, 0, 0], bins=1) == pytest.approx(abs(2 / 3 - 2.2 / 3))


def test_a_confidence_at_a_bound_belongs_below_it():
    logits = logits_of([[0.5, 0.5], [0.4, 0.6]])  # in the bins (0, 0.5] and (0.5, 1]
    assert calibration.expected_calibration_error(logits, [0, 0], bins=2) == pytest.approx((0.5 + 0.6) / 2)


def test_sure_and_right_has_no_error_at_any_scale_of_logits():
    assert calibration.expected_calibration_error(np.array([[2000.0, 0.0], [0.0, 1e4]]), [0, 1]) == 0


@pytest.mark.statistical
@pytest.mark.parametrize("heat", [0.4, 1.0, 3.0])
def test_temperature_finds_by_how_much_logits_are_too_sure(heat):
    """Its standard error by the curvature of the likelihood in log T: the mean variance of the logits under softmax."""
    num = 20_000
    logits, label = drawn(num, heat)
    share = np.exp(logits / heat) / np.exp(logits / heat).sum(axis=1, keepdims=True)
    mean = (share * logits / heat).sum(axis=1, keepdims=True)
    error = 1 / np.sqrt(num * np.mean((share * (logits / heat - mean) ** 2).sum(axis=1)))
    found = calibration.temperature(logits, label)
    assert abs(np.log(found / heat)) <= 4.5 * error
    miscalibration = calibration.expected_calibration_error
    assert miscalibration(logits / found, label) < 0.02 < miscalibration(3 * logits / heat, label)


def test_temperature_is_there_where_all_labels_are_right_and_falls_with_their_number():
    label = RNG.integers(0, 5, 400)
    logits = 10 * np.eye(5)[label]
    few, many = calibration.temperature(logits[:40], label[:40]), calibration.temperature(logits, label)
    for heat, num in ((few, 40), (many, 400)):  # the right class keeps what Platt's rule leaves of it
        share = np.exp(10 / heat) / (np.exp(10 / heat) + 4)
        assert share == pytest.approx((num + 1 / 5) / (num + 1), rel=1e-9)
    assert many < few


def test_logits_worse_than_a_guess_have_no_temperature():
    with pytest.raises(ValueError, match=r"no temperature suits these 5 labels, 0.00% of them right"):
        calibration.temperature(-10 * np.eye(5), np.arange(5))


def test_tempered_parameters_divide_logits_and_keep_features():
    network = Classifier(classes=3, widths=(4,))
    x = RNG.normal(size=(2, 5, 5, 1)).astype(np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: RNG.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    cold, apply, features = calibration.tempered(params, 2.5), jax.jit(network.apply), jax.jit(network.features)
    np.testing.assert_allclose(apply(cold, x), apply(params, x) / 2.5, rtol=1e-5)
    np.testing.assert_array_equal(features(cold, x), features(params, x))
    assert np.ptp(apply(params, x)) > 0.01
    with pytest.raises(ValueError, match="temperature=0"):
        calibration.tempered(params, 0.0)
