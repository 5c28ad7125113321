import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from curated_retraining.classifiers import training
from curated_retraining.data import uniform

RNG = np.random.default_rng(0)
LABEL = RNG.integers(0, 3, 60)
X = (np.eye(3, dtype=np.float32)[LABEL] + RNG.normal(0, 0.1, (60, 3)).astype(np.float32)).reshape(60, 1, 3, 1)


class Linear(nn.Module):
    """Logits that are linear in the pixels."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x.reshape(len(x), -1))


def fitted(**options):
    options = {"steps": 40, "batch_size": 16, "learning_rate": 0.1, "rounds": 4} | options
    return training.fit(jax.random.key(0), Linear(), X, LABEL, **options)


def right(params, x=X):
    return np.mean(np.argmax(Linear().apply(params, x), axis=-1) == LABEL)


def test_fit_learns():
    assert right(fitted()) == 1.0


def test_images_are_augmented_at_training():
    params = fitted(augment=lambda key, x: -x)
    assert right(params, -X) == 1.0
    assert right(params) < 0.5


def test_points_of_weight_zero_teach_nothing():
    """The first half of the points has false labels and no weight."""
    data = training.labelled(np.concatenate([X, X]), np.concatenate([(LABEL + 1) % 3, LABEL]))
    data = data._replace(weight=jnp.concatenate([jnp.zeros(60), uniform(jnp.asarray(X)).weight]))
    init, fit = training.trainer(Linear(), steps=40, batch_size=16, learning_rate=0.1, ema=0.9)
    assert right(jax.jit(fit)(jax.random.key(1), init(jax.random.key(0), data.x), data).average) == 1.0


@pytest.mark.parametrize(
    ("options", "said"), [({"steps": 41}, "41 steps do not split into 4 rounds"), ({"rounds": 0}, "into 0 rounds")]
)
def test_steps_split_into_rounds(options, said):
    with pytest.raises(ValueError, match=said):
        fitted(**options)


def test_images_and_labels_go_in_pairs():
    with pytest.raises(ValueError, match="60 images need as many labels, not 59"):
        training.fit(jax.random.key(0), Linear(), X, LABEL[1:], steps=10)


@pytest.mark.statistical
@pytest.mark.parametrize("flip", [False, True])
def test_moved_images_are_each_a_shift_and_all_shifts_come(flip):
    """Each is as likely as another: 600 draws of 9 shifts (18 with mirror images), chi-squared beyond once in 1e6."""
    num, image = 600, np.arange(20.0).reshape(4, 5, 1)
    batch = jnp.broadcast_to(image, (num, 4, 5, 1))
    moved = np.asarray(training.moved(1, flip)(jax.random.key(0), batch))
    wide = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    shifts = [wide[i : i + 4, j : j + 5] for i in range(3) for j in range(3)]
    shifts += [shift[:, ::-1] for shift in shifts] if flip else []
    count = np.array([np.all(moved == shift, axis=(1, 2, 3)).sum() for shift in shifts])
    assert count.sum() == num
    expected = num / len(shifts)
    assert np.sum((count - expected) ** 2 / expected) < chi2.isf(1e-6, len(shifts) - 1)


def test_a_negative_reach_is_refused():
    with pytest.raises(ValueError, match="pixels=-1"):
        training.moved(-1)
