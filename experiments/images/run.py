"""The image experiment from its flags to its folder."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.sharding import Mesh
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import classifiers
from curated_retraining.datasets import Split
from curated_retraining.driver import claimed, drive, newest, write
from curated_retraining.types import Dataset, Model, Reward, Static, lift, lift_all
from experiments import common, helps
from experiments.images import asked, generators, loops, observed, report, sharing
from experiments.images.sharing import Sharing

FLAGS = flags.FLAGS
JUDGED = 1000  # samples that such a round is judged by, this many at a time:
AT_A_TIME = 250  # no flag of a loop may change what loops share
OF_GENERATION_ZERO = ("dataset", "data", "model", "preset", "coupling", "dtype", "first_steps", "prng")


def define() -> None:
    """The flags; those of a loop begin with the defaults of the paper's image experiments."""
    common.define("images", generations=10, rewards=list(asked.GAMMA))
    sharing.define()
    FLAGS.set_default("lam", ["inf", "0.5"])
    FLAGS.set_default("seeds", 1)
    FLAGS.set_default("keep", 2)
    with common.group(helps.PLAYED):
        flags.DEFINE_enum("dataset", "digits", list(generators.CPU), "the real images")
    with common.group(helps.READ):
        flags.DEFINE_string("data_dir", "data", "folder of CIFAR-10, in its binary or its Python release")
        flags.DEFINE_bool("download", False, "fetch CIFAR-10 into --data_dir where it is not there")
        flags.DEFINE_string("npz", None, "file of --dataset=npz, with x [n, h, w, c] and label [n]")
    with common.group(helps.PLAYED):
        common.count("label", 0, "the class that reward `class_probability` likes", 0)
        common.number("gamma", None, "γ, the scale of the reward (by default 5, or 15 for confidence)")
        flags.DEFINE_bool("calibrated", False, "whether rewards read the classifier at its calibrated temperature")
        flags.DEFINE_enum("model", "flow_matching", ["flow_matching", "ddpm"], "what is retrained")
        flags.DEFINE_enum("preset", "cpu", list(generators.PRESETS), "the network and the sizes")
        flags.DEFINE_enum("coupling", "independent", list(generators.COUPLINGS), "of noise and images in flow matching")
        flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "what the generator computes in")
    with common.group(helps.SIZES):
        common.count("pool", None, "samples a generation, a multiple of K (by default as suits the preset)", 2)
        common.count("steps", None, "optimiser steps of a refit (by default as suits the preset)", 1)
        common.count("first_steps", None, f"the same for generation 0, a multiple of {asked.ROUNDS}", 1)
        common.count("reference", 5000, "real images that samples are compared with one by one, at most", 10)
    with common.group(helps.READ):
        flags.DEFINE_string(
            "pretrained", None, "folder of generation 0, to share it between runs (in --out by default)"
        )
        flags.DEFINE_string(
            "classifier", None, "file of the classifier, to share it between runs (in --out by default)"
        )
        flags.DEFINE_string(
            "inception", None, "weights of Inception-v3, pt_inception-2015-12-05-6726825d.pth, for the FID proper"
        )
    with common.group(helps.SIZES):
        common.count(
            "chunk", 500, "images that are drawn or judged at a time: memory grows with it, and samples depend on it", 1
        )


def main() -> None:
    """Runs what the flags say and leaves numbers, table and figures in `--out`."""
    out, data = Path(FLAGS.out), asked.read_data()
    settings = asked.settings_of(data)
    shared = sharing.by_flags(settings["pool"], generators.sizes(FLAGS.preset, FLAGS.dataset).batch_size)
    with claimed(out.absolute(), settings):
        classifier = _classifier(out, data)
        write(out / "classifier.json", json.dumps(classifier.report, indent=2) + "\n")
    print(report.of_classifier(classifier.report))
    reward = _reward(classifier, settings["gamma"])
    observe = observed.build(
        classifier.logits,
        _features(classifier),
        data,
        _model(data, settings["steps"], FLAGS.chunk),
        reference=FLAGS.reference,
        k=FLAGS.k,
        chunk=FLAGS.chunk,
    )
    real = cr.uniform(jnp.asarray(data.train.x))
    first = _pretrained(out, settings, data, classifier, real, shared)
    model = _model(data, settings["steps"], FLAGS.chunk, mesh=shared.batch)

    lams = np.array([float(text) for text in FLAGS.lam])
    seeds = common.seeds()
    columns = jnp.asarray(np.repeat(lams, len(seeds)), jnp.float32), jnp.tile(jnp.asarray(seeds), len(lams))
    curate = cr.k_way(FLAGS.k, cr.luce(FLAGS.temperature))
    pool, mesh = Static(settings["pool"]), Static(shared.cells)
    history = drive(
        out,
        settings,
        Partial(loops.generation_zero, Static(len(columns[0])), first),
        Partial(loops.generation, lift_all(model), reward, curate, observe, pool, real, columns, mesh=mesh),
        cells=[{"lam": lam, "seed": seed} for lam in FLAGS.lam for seed in seeds],
        generations=FLAGS.generations,
        every=FLAGS.every,
        keep=FLAGS.keep,
        sharding=sharing.of_cells(shared),
    )
    report.write(
        out,
        history,
        observed.judge(reward, classifier.logits, data.train.x, FLAGS.chunk),
        data.train.names,
        lams=FLAGS.lam,
        k=FLAGS.k,
        temperature=FLAGS.temperature,
        liked=FLAGS.label if FLAGS.reward == "class_probability" else None,
    )


def _pretrained(
    out: Path,
    settings: dict[str, Any],
    data: Split,
    classifier: classifiers.TrainedClassifier,
    real: Dataset,
    shared: Sharing,
) -> Any:
    """The generator trained in `--pretrained`, or read from there: a loop of λ = 0, real images alone.

    Devices that share its batches all draw the images that it is judged by: these are few, and need not split.
    """
    folder = Path(FLAGS.pretrained) if FLAGS.pretrained else out / "generation_0"
    steps = settings["first_steps"] // asked.ROUNDS
    model = lift_all(_model(data, steps, AT_A_TIME, carry=True, mesh=shared.batch))
    model = model._replace(sample=lift(_model(data, steps, AT_A_TIME).sample))
    observe = observed.in_training(classifier, data, AT_A_TIME)
    cell, where = (jnp.zeros(1), jnp.zeros(1, int)), sharing.of_generation_zero(shared)  # λ and seed
    drive(
        folder,
        {name: settings[name] for name in OF_GENERATION_ZERO},
        begin := Partial(loops.untrained, model.init, real.x[:2]),
        Partial(loops.generation, model, lift(_indifferent), cr.everything(), observe, Static(JUDGED), real, cell),
        cells=[{}],
        generations=asked.ROUNDS - 1,
        keep=2,
        unit="round",
        sharding=where,
    )
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], newest(folder, begin, where).model)


def _indifferent(x):
    return jnp.zeros(x.shape[0])


def _model(data: Split, steps: int, chunk: int, carry: bool = False, mesh: Mesh | None = None) -> Model:
    return generators.build(
        FLAGS.model,
        FLAGS.preset,
        generators.sizes(FLAGS.preset, FLAGS.dataset),
        side=min(data.train.x.shape[1:3]),
        coupling=FLAGS.coupling,
        dtype=FLAGS.dtype,
        steps=steps,
        chunk=chunk,
        carry=carry,
        mesh=mesh,
    )


def _classifier(out: Path, data: Split) -> classifiers.TrainedClassifier:
    path = Path(FLAGS.classifier) if FLAGS.classifier else out / "classifier.npz"
    recipe = classifiers.RECIPES[FLAGS.dataset]
    return asked.told(lambda: classifiers.trained_classifier(jax.random.key(0), data, recipe, path))


def _features(classifier: classifiers.TrainedClassifier) -> observed.Features:
    if FLAGS.inception:
        return asked.told(lambda: observed.of_inception(FLAGS.inception))
    return observed.of_classifier(classifier.features, FLAGS.chunk)


def _reward(classifier: classifiers.TrainedClassifier, gamma: float) -> Reward:
    logits = observed.in_chunks(classifier.calibrated if FLAGS.calibrated else classifier.logits, FLAGS.chunk)
    if FLAGS.reward == "confidence":
        return cr.confidence(logits, gamma)
    return cr.class_probability(logits, FLAGS.label, gamma)
