"""Experiments on one device and on two, in a process of their own: `python experiment_runs.py FOLDER`."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from commands import command
from jax.tree_util import Partial

from curated_retraining import driver, metrics
from curated_retraining.classifiers import TrainedClassifier
from curated_retraining.networks.mlp import TimeMLP
from experiments import cyclic
from experiments.images import generators, observed, run

CYCLIC = ["--model=finite", "--lam=inf", "--seeds=2", "--generations=2", "--pool=40", "--real=30"]
IMAGES = ["--dataset=npz", "--first_steps=4", "--steps=2", "--pool=24", "--k=3", "--generations=2", "--chunk=16"]
SHARED = {"one": [], "cells": ["--devices=2"], "batch": ["--devices=2", "--share=batch"]}
SEEN = {}  # by run: how its program tells devices apart, and how its state lies on them


def brightest(x):
    """Logits of two classes by which half of an image is bright."""
    return 4 * jnp.stack([x[:, :2].mean((1, 2, 3)), x[:, 2:].mean((1, 2, 3))], axis=-1)


def images(out: Path) -> None:
    """Two cells on one device, on two that share them, and on two that share their batches."""
    rng = np.random.default_rng(0)
    np.savez(out / "images.npz", x=rng.uniform(-1, 1, (40, 4, 4, 1)).astype(np.float32), label=np.arange(40) % 2)
    look = Partial(brightest)
    known = dict.fromkeys(("accuracy", "calibration_error", "calibration_error_tempered", "temperature"), 1.0)
    run._classifier = lambda *_: TrainedClassifier(look, look, look, known)
    run.ROUNDS, run.JUDGED, run.AT_A_TIME = 2, 15, 5  # which two devices do not split
    run.drive = driven
    run.report.write = lambda *_, **__: None
    observed.build = lambda *_, **__: metrics.reward_moments()
    observed.in_training = lambda *_: metrics.proportions(lambda x: brightest(x).argmax(axis=1), 2)
    generators.unet.cpu = lambda **_: TimeMLP(width=16, depth=1)
    generators.CPU["npz"] = generators.CPU["npz"]._replace(calls=2, batch_size=8)
    with command(run) as play:
        for name, given in SHARED.items():
            mistake = play(*IMAGES, f"--npz={out}/images.npz", f"--out={out}/images/{name}", *given)
            assert mistake is None, mistake


def driven(folder, settings, begin, advance, *, sharding, **options):
    """`drive`, with a look at what it is given."""
    program = str(jax.make_jaxpr(advance)(jax.eval_shape(begin)))
    how = [word for word in ("shard_map", "sharding_constraint") if word in program]
    lies = sharding and [sharding.num_devices, str(sharding.spec)]
    SEEN[f"{Path(folder).parent.name}/{Path(folder).name}"] = [how, lies]
    return driver.drive(folder, settings, begin, advance, sharding=sharding, **options)


def of_cyclic(out: Path) -> None:
    """Two seeds on one device and on two: what drives several experiments."""
    cyclic.twins.leave = lambda *_: None
    cyclic.figures.ternary = lambda *_, **__: None
    with command(cyclic) as play:
        for num in (1, 2):
            mistake = play(*CYCLIC, f"--out={out}/cyclic/{num}", f"--devices={num}")
            assert mistake is None, mistake


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    images(folder)
    of_cyclic(folder)
    (folder / "seen.json").write_text(json.dumps(SEEN))
