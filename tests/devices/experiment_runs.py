"""Images on one device and on two, in a process of their own: `python experiment_runs.py FOLDER`."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from commands import command
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import driver, metrics
from curated_retraining.classifiers import TrainedClassifier
from curated_retraining.data import draw, spread
from experiments.images import asked, generators, observed, run

SMALL = ["--dataset=npz", "--first_steps=4", "--steps=2", "--lam=inf", "--seeds=2", "--generations=2", "--every=3"]
SMALL += ["--pool=24", "--k=3", "--chunk=16"]
SHARED = {"batch": ["--devices=2", "--share=batch"], "one": [], "cells": ["--devices=2"]}
SEEN = []  # of each run: its folder, how it fits a model, and how its state lies on devices


def brightest(x):
    """Logits of two classes by which half of an image is bright."""
    return 4 * jnp.stack([x[:, :2].mean((1, 2, 3)), x[:, 2:].mean((1, 2, 3))], axis=-1)


def mean_image(network, *, batch_size, **_):
    """Stands for a generator, which compiles ten times as long: half way to the mean of one batch in each fit."""
    del network

    def fit(key, state, data):
        return (state + spread(draw(key, data, batch_size)).mean(axis=0)) / 2

    def sample(key, state, num):
        return state + 0.3 * jax.random.normal(key, (num, *state.shape))

    return cr.Model(init=lambda key, x: x.mean(axis=0), fit=fit, sample=sample, log_prob=None)


def driven(folder, settings, begin, advance, *, sharding, **options):
    """`drive`, with a look at what it is given."""
    lies = sharding and [sharding.num_devices, str(sharding.spec)]
    SEEN.append([Path(folder).name, advance.args[0].fit.func.__name__, lies])
    return driver.drive(folder, settings, begin, advance, sharding=sharding, **options)


def main(out: Path) -> None:
    """Cells on two devices that share their batches; from their generation 0 on one, and on two that share cells."""
    rng = np.random.default_rng(0)
    np.savez(out / "images.npz", x=rng.uniform(-1, 1, (40, 4, 4, 1)).astype(np.float32), label=np.arange(40) % 2)
    look = Partial(brightest)
    known = dict.fromkeys(("accuracy", "calibration_error", "calibration_error_tempered", "temperature"), 1.0)
    run._classifier = lambda *_: TrainedClassifier(look, look, look, known)
    asked.ROUNDS, run.JUDGED, run.AT_A_TIME = 2, 15, 5  # which two devices do not split
    run.drive = driven
    run.report.write = observed.judge = lambda *_, **__: None
    observed.build = lambda *_, **__: metrics.reward_moments()
    observed.in_training = lambda *_: metrics.proportions(lambda x: brightest(x).argmax(axis=1), 2)
    generators.cr = SimpleNamespace(flow_matching=mean_image, batched=cr.batched, sharded=cr.sharded)
    generators.CPU["npz"] = generators.CPU["npz"]._replace(calls=2, batch_size=8)
    with command(run) as play:
        for name, given in SHARED.items():
            where = [f"--out={out}/{name}", f"--pretrained={out}/generation_0", f"--npz={out}/images.npz"]
            mistake = play(*SMALL, *where, *given)
            assert mistake is None, mistake
    (out / "seen.json").write_text(json.dumps(SEEN))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
