import jax
import numpy as np
import pytest

import curated_retraining as cr
from curated_retraining.classifiers import cached, calibration
from curated_retraining.classifiers.cached import RECIPES, Recipe, trained_classifier
from curated_retraining.datasets import Images, split

RECIPE = Recipe(widths=(8,), blocks=0, steps=60, batch_size=32, learning_rate=3e-2, shift=1)


def key():
    return jax.random.key(0)


@pytest.fixture(scope="module")
def data():
    """Stripes that lie or stand, brighter first or second, in noise that hides some."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400).astype(np.int32)
    lying = 0.4 * rng.choice([-1, 1], 400)[:, None, None, None] * np.array([1, -1, 1, -1.0]).reshape(1, 4, 1, 1)
    stripes = np.where(label[:, None, None, None] == 0, lying, lying.transpose(0, 2, 1, 3))
    x = np.clip(stripes + rng.normal(0, 0.5, (400, 4, 4, 1)), -1, 1).astype(np.float32)
    return split(Images(x, label, ("lying", "standing")))


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """The classifier and its file."""
    path = tmp_path_factory.mktemp("made") / "run" / "classifier.npz"
    return trained_classifier(key(), data, RECIPE, path), path


def test_it_learns_and_reports_on_test_images_alone(made, data):
    classifier, _ = made
    logits, calibrated = classifier.logits(data.test.x), classifier.calibrated(data.test.x)
    report, label = classifier.report, data.test.label
    assert report["accuracy"] > 0.9
    assert report["accuracy"] == pytest.approx(calibration.accuracy(logits, label), abs=1.1 / len(label))
    np.testing.assert_allclose(calibrated * report["temperature"], logits, rtol=1e-4, atol=1e-5)
    for name, scores in (("calibration_error", logits), ("calibration_error_tempered", calibrated)):
        assert report[name] == pytest.approx(calibration.expected_calibration_error(scores, label), abs=1e-2)
    assert classifier.features(data.test.x).shape == (len(label), 8)


def test_held_out_images_are_not_trained_on(data, monkeypatch):
    """What `fit` and `temperature` see together is the training part, each image once, and nothing of the test."""
    seen = []

    def fit(key, network, x, label, **options):
        seen.extend(x[:, 0, 0, 0])
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape), jax.eval_shape(network.init, key, x[:1]))

    def in_chunks(logits, x):
        seen.extend(x[:, 0, 0, 0]) if x is not data.test.x else None
        return np.random.default_rng(0).normal(size=(len(x), 2))

    monkeypatch.setattr(cached, "fit", fit)
    monkeypatch.setattr(cached, "_in_chunks", in_chunks)
    monkeypatch.setattr(cached, "temperature", lambda logits, label: 2.0)
    assert trained_classifier(key(), data, RECIPE).report["temperature"] == 2.0
    assert sorted(seen) == sorted(data.train.x[:, 0, 0, 0])


def test_it_is_read_back_and_not_trained_anew(made, data, monkeypatch):
    monkeypatch.setattr(cached, "fit", None)
    classifier, path = made
    back = trained_classifier(key(), data, RECIPE, path)
    assert back.report == classifier.report
    for name in ("logits", "calibrated", "features"):
        np.testing.assert_array_equal(getattr(back, name)(data.test.x), getattr(classifier, name)(data.test.x))


def test_a_file_of_another_recipe_key_or_data_is_refused_and_kept(made, data):
    _, path = made
    whole = path.read_bytes()
    darker = data._replace(test=data.test._replace(x=data.test.x * np.float32(0.5)))
    for said, others in {
        r"made with steps=60, not 70": (key(), data, RECIPE._replace(steps=70)),
        r"made with widths=\[8\], not \[8, 8\]": (key(), data, RECIPE._replace(widths=(8, 8))),
        r"made with key=": (jax.random.key(1), data, RECIPE),
        r"made with data=": (key(), darker, RECIPE),
    }.items():
        with pytest.raises(ValueError, match=said):
            trained_classifier(*others, path)
    assert path.read_bytes() == whole


def test_rewards_read_it_and_its_weights_are_inputs_of_one_program(made, data):
    classifier, _ = made
    reward = jax.jit(lambda reward, x: reward(x))
    share = np.asarray(jax.nn.softmax(classifier.logits(data.test.x)))
    np.testing.assert_allclose(
        reward(cr.class_probability(classifier.logits, 1, gamma=5.0), data.test.x), 5 * share[:, 1], atol=1e-4
    )
    np.testing.assert_allclose(
        reward(cr.confidence(classifier.logits, gamma=15.0), data.test.x), 15 * share.max(axis=1), atol=1e-4
    )
    before = reward._cache_size()
    reward(cr.confidence(classifier.calibrated, gamma=15.0), data.test.x)
    assert reward._cache_size() == before


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_whole(name):
    recipe = RECIPES[name]
    assert recipe.steps % 10 == 0  # `fit` goes in ten rounds
    assert recipe.mirror == (name == "cifar10")  # a mirrored digit is none
