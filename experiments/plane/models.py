"""The models of `--model` at sizes that suit the plane, in pairs: one for generation 0 and one for each refit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

import curated_retraining as cr
from curated_retraining import metrics
from curated_retraining.models.ddpm import cosine_betas
from curated_retraining.models.samplers import multistep
from curated_retraining.networks.mlp import TimeMLP
from curated_retraining.types import Array, Metrics, Model
from experiments.plane.population import Population
from experiments.plane.target import Target


class Sizes(NamedTuple):
    """What a model costs by default."""

    curated: int  # points a generation
    steps: int  # of a refit, warm-started from the last
    first: int  # of generation 0


SIZES = {
    "ddpm": Sizes(curated=4000, steps=500, first=6000),
    "flow_matching": Sizes(curated=4000, steps=500, first=4000),
    "flow": Sizes(curated=5000, steps=200, first=1500),
    "gmm": Sizes(curated=10_000, steps=10, first=60),
    "kde": Sizes(curated=10_000, steps=1, first=1),
    "finite": Sizes(curated=10_000, steps=1, first=1),
}


def build(name: str, target: Target, steps: int) -> Model:
    """The model `name` whose fit takes `steps`; a state of one suits another of the same name."""
    match name:
        case "ddpm":
            network, betas = TimeMLP(width=64), cosine_betas(100)
            model = cr.ddpm(
                network, betas=betas, sampler=multistep(25), learning_rate=2e-3, batch_size=256, steps=steps
            )
        case "flow_matching":
            network = TimeMLP(width=64)
            model = cr.flow_matching(network, sample_steps=10, learning_rate=2e-3, batch_size=256, steps=steps)
        case "flow":
            model = cr.flow(learning_rate=2e-3, steps=steps)
        case "gmm":
            return cr.gmm(components=8, steps=steps)
        case "kde":
            return cr.kde(bandwidth=0.05, size=8192)
        case "finite":
            return cr.finite(_draw(target, 0, 8192))
        case _:
            raise ValueError(f"unknown model {name!r}: take one of {', '.join(SIZES)}")
    return cr.standardised(model)


def kl(name: str, model: Model, population: Population, target: Target) -> Metrics:
    """KL to the real distribution: on a grid or on the support, by nearest neighbours where there is no density."""
    match name:
        case "finite":
            support = _draw(target, 0, 8192)
            return metrics.kl_on_grid(model, support, 1.0, lambda x: jnp.full(len(x), -jnp.log(len(x))))
        case "gmm" | "kde" | "flow":
            return metrics.kl_on_grid(model, population.x, population.cell, target.log_density)
        case _:
            return metrics.kl_to_sample(_draw(target, 3, 2048), points=1024)


def _draw(target: Target, seed: int, num: int) -> Array:
    return jax.jit(target.draw, static_argnums=1)(jax.random.key(seed), num).x
