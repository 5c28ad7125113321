"""What is measured and kept of each generation of images."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from curated_retraining import metrics
from curated_retraining.classifiers import TrainedClassifier
from curated_retraining.datasets import Images, Split
from curated_retraining.inception import inception_features
from curated_retraining.metrics.chunks import map_chunks
from curated_retraining.types import Array, Generation, Metrics, Model, Reward, Static, lift

SHOWN = 36  # samples from the same noise in every generation, for figures
GROUPS = 6  # of candidates, for figures


class Judged(NamedTuple):
    """What the annotators and the classifier say of images."""

    reward: np.ndarray  # [n]
    label: np.ndarray  # [n], the likeliest class


class Features(NamedTuple):
    """What images are compared by."""

    of: Callable[[Array], Array]  # [n, h, w, c] -> [n, d]
    distance: str  # what the Fréchet distance between them is called
    chunk: int  # images at a time


def of_classifier(features: Partial, chunk: int) -> Features:
    """The penultimate layer of the classifier."""
    return Features(features, "frechet_distance", chunk)


def of_inception(path: str) -> Features:
    """Those of the FID, of images in 256 levels as in files; a chunk of 32 takes 1 GB.

    Raises:
        ValueError: where the file does not hold the weights.
    """
    return Features(Partial(_of_pixels, inception_features(path)), "fid", 32)


def build(
    logits: Partial,
    features: Features,
    data: Split,
    model: Model,
    *,
    reference: int,
    k: int,
    chunk: int,
) -> Metrics:
    """All numbers of `metrics.csv` and what the figures show.

    Features are compared with those of the real training images: of all of them for the Fréchet distance, of at most
    `reference` for what looks at neighbours.
    """
    real, classes = data.train.x, len(data.train.names)
    some = real[:: -(-len(real) // reference)]
    moments, near = (
        jax.jit(make, static_argnums=2)(lift(features.of), images, features.chunk)
        for make, images in ((metrics.moments, real), (_neighbours, some))
    )
    of_features = metrics.join(
        metrics.frechet(_itself, moments), metrics.prdc(_itself, near), metrics.memorisation(_itself, near)
    )
    return metrics.join(
        metrics.reward_moments(),
        metrics.reward_quantiles(),
        Partial(
            _on_labels,
            in_chunks(logits, chunk),
            metrics.proportions(_itself, classes),
            precision(logits, data.test, chunk),
        ),
        Partial(_on_features, in_chunks(features.of, features.chunk), of_features, Static(features.distance)),
        Partial(_pictures, lift(model.sample), Static(k)),
    )


def in_training(classifier: TrainedClassifier, data: Split, chunk: int) -> Metrics:
    """Class shares and Fréchet distance, by the classifier alone: what no flag of a loop changes."""
    moments = jax.jit(metrics.moments, static_argnums=2)(classifier.features, data.train.x, chunk)
    named = Partial(_likeliest, in_chunks(classifier.logits, chunk))
    return metrics.join(
        metrics.proportions(named, len(data.train.names)), metrics.frechet(classifier.features, moments, chunk)
    )


def in_chunks(function: Callable[[Array], Array], chunk: int) -> Partial:
    """`function` of the rows of an array, at most `chunk` of them at a time."""
    return Partial(_in_chunks, Static(chunk), lift(function))


def judge(reward: Reward, logits: Partial, x: np.ndarray, chunk: int) -> Judged:
    """The judgement of images `x` `[n, h, w, c]`."""
    both = jax.jit(lambda reward, logits, x: (reward(x), _likeliest(logits, x)))
    return Judged(*(np.asarray(of) for of in both(reward, in_chunks(logits, chunk), x)))


def precision(logits: Partial, images: Images, chunk: int) -> np.ndarray:
    """How often `logits` are right where they name a class, by class: `[classes]`, 0 for one that they never name."""
    named = np.asarray(jax.jit(_likeliest)(in_chunks(logits, chunk), images.x))
    classes = len(images.names)
    right = np.bincount(named[named == images.label], minlength=classes)
    return (right / np.maximum(np.bincount(named, minlength=classes), 1)).astype(np.float32)


def _likeliest(logits, x):
    return jnp.argmax(logits(x), axis=-1)


def _in_chunks(chunk: Static, function, x):
    return map_chunks(function, x, chunk.value)


def _itself(x):
    return x


def _neighbours(features, x, chunk):
    return metrics.neighbours(features, x, chunk=chunk)


def _on_labels(logits, proportions, precision, record: Generation):
    """`proportions` of the likeliest classes; `judged` `[n, 2]`, reward and class of each sample, for forecasts.

    `weighted_count` `[classes]`: samples that are named a class, times how often that word is right on test images.
    """
    named = _likeliest(logits, record.pool)
    count = jax.nn.one_hot(named, precision.shape[0]).sum(axis=0)
    judged = jnp.stack([record.reward, named.astype(float)], axis=-1)
    return proportions(record._replace(pool=named)) | {"weighted_count": count * precision, "judged": judged}


def _on_features(features, metric, distance: Static, record: Generation):
    """`metric` of the features of the pool, which are computed once for all that it is joined from."""
    report = metric(record._replace(pool=features(record.pool)))
    return {distance.value: report.pop("frechet_distance")} | report


def _pictures(sample, k: Static, record: Generation):
    """`shown`: what the model makes of the same noise each time; `candidates`, the first groups, with what was kept."""
    num = min(GROUPS, record.pool.shape[0] // k.value)
    candidates = record.pool[: num * k.value].reshape(num, k.value, *record.pool.shape[1:])
    same = jax.vmap(lambda group, kept: (group == kept[None]).reshape(k.value, -1).all(axis=1))
    return {
        "shown": _pixels(sample(jax.random.key(0), record.model, SHOWN)),
        "candidates": _pixels(candidates),
        "candidate_reward": record.reward[: num * k.value].reshape(num, k.value)[..., None],
        "candidate_kept": same(candidates, record.curated.x[:num])[..., None],
    }


def _of_pixels(features, x):
    return features(_pixels(x).astype(jnp.float32) / 127.5 - 1)


def _pixels(x):
    """Images in [−1, 1] as bytes in 0..255."""
    return jnp.round(127.5 * (jnp.clip(x, -1, 1) + 1)).astype(jnp.uint8)
