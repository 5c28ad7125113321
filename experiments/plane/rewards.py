"""The rewards of `--reward` for points in the plane."""

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining.networks.mlp import MLP
from curated_retraining.types import Array, Reward
from experiments.plane.target import Target

GAMMA = {"distance": 10.0, "log_density": 1.0, "classifier": 10.0, "none": 0.0}
EDGE = {"distance": 0.0, "log_density": 0.5, "classifier": 0.5, "none": 0.0}  # ε of {r ≥ r_* − ε}, in units of γ


def build(name: str, target: Target, *, gamma: float, r_min: float, liked: Array, label: int) -> Reward:
    """The reward `name`; see the flags of the same names."""
    match name:
        case "distance":
            return cr.distance(liked, r_min=r_min, gamma=gamma)
        case "log_density":
            return cr.log_density(target.log_density, gamma=gamma)
        case "classifier":
            return cr.class_probability(jax.jit(classifier, static_argnums=0)(target), label, gamma)
        case "none":
            return _indifferent
    raise ValueError(f"unknown reward {name!r}: take one of {', '.join(GAMMA)}")


def classifier(target: Target, steps: int = 1000) -> Partial:
    """Logits `[n, classes]` by a perceptron trained on 5,000 labelled points of `target`."""
    data_key, init_key, fit_key = jax.random.split(jax.random.key(7), 3)
    network = MLP(out=len(target.names))
    points = target.draw(data_key, 5000)
    labelled = cr.uniform(jnp.concatenate([points.x, target.label(points.x)[:, None].astype(float)], axis=-1))

    def loss(key, params, rows):
        del key
        logits = jnp.asarray(network.apply(params, rows[:, :2]))
        return optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 2].astype(int)).mean()

    trainer = cr.trained(lambda key, rows: network.init(key, rows[:, :2]), loss, steps=steps, learning_rate=3e-3)
    fitted = trainer.fit(fit_key, trainer.init(init_key, labelled.x[:1]), labelled)
    return Partial(network.apply, fitted.average)


def _indifferent(x):
    return jnp.zeros(x.shape[0])
