"""Two models, from the flags to the folder."""

import itertools
import math
from pathlib import Path

import numpy as np
from absl import flags

from curated_retraining import figures
from curated_retraining.driver import claimed, write
from experiments import common, helps, loops, twins
from experiments.gmm import RING
from experiments.plane import models
from experiments.two_models import ring, toy

FLAGS = flags.FLAGS
DENSE = 33  # places along an axis where the exact course is drawn


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    with common.group(helps.PLAYED):
        common.several("part", ["toy", "ring"], "what is played")
    strengths = [f"{strength:g}" for strength in np.linspace(0, 1.5, 7)]
    with common.group(helps.TOY):
        flags.DEFINE_list("strength", strengths, "toy: strengths of curation, three or more, evenly apart and rising")
        common.count("toy_pool", 4000, "toy: samples of a model a generation, and real points; even", 2)
        common.count("toy_generations", 28, "toy: retrainings; the last 8 are measured", toy.LAST, common.SEVERAL)
        common.count("toy_seeds", 8, "toy: repetitions", most=common.SEVERAL)
    with common.group(helps.RING):
        flags.DEFINE_enum("model", "ddpm", list(models.SIZES), "ring: what is retrained")
        flags.DEFINE_list("other", ["0", "0.25", "0.5"], "ring: shares of a model's synthetic data that the other made")
        common.count("k", 4, f"ring: {common.K}", 2)
        common.number("lam", 1.0, "ring: λ = #synthetic / #real, or inf", infinite=True)
        common.number("temperature", 1.0, "ring: temperature of the choice; 0 is best-of-K")
        common.number("gamma", 10.0, "ring: γ, the scale of the reward −γ max(0, ‖x − (±2, 0)‖ − r_min)")
        common.number("r_min", RING.r_min, "ring: the radius within which the reward is at its best")
        common.count(
            "generations", 5, "ring: retrainings after generation 0; the last is compared", most=common.SEVERAL
        )
        common.count("pool", 4000, "ring: samples of a model a generation, a multiple of K", 2)
        common.count("real", 8000, "ring: real points", 2)
        common.count("steps", None, "ring: optimiser or EM steps of a refit (by default as suits the model)", 1)
        common.count("first_steps", None, "ring: the same for generation 0", 1)
        common.count("seeds", 2, "ring: repetitions", most=common.SEVERAL)
    with common.group(helps.SIZES):
        common.count("seed", 0, "seed of the first repetition; the others follow", 0)
    common.checkpoints()
    common.folder("two_models")
    flags.register_validator("strength", _are_strengths, "takes three or more numbers >= 0, evenly apart and rising")
    flags.register_validator("other", _are_shares, "takes one or more different numbers from 0 to 1, rising")
    flags.register_validator("toy_pool", lambda pool: pool % 2 == 0, "takes an even number, such as --toy_pool=4000")


def main() -> None:
    """Plays the parts that the flags ask for; numbers, tables and figures are left in `--out`."""
    out = Path(FLAGS.out)
    settings = common.settings() | {"steps": _steps()[0], "first_steps": _steps()[1]}
    loops.require_groups(FLAGS.pool)
    taste = ring.Taste(FLAGS.k, FLAGS.temperature, FLAGS.gamma, FLAGS.r_min)
    if "ring" in FLAGS.part:
        ring.planes(taste)  # before anything is played
    with claimed(out.absolute(), settings):
        (out / "figures").mkdir(exist_ok=True)
        if "toy" in FLAGS.part:
            _toy(out, settings, range(FLAGS.seed, FLAGS.seed + FLAGS.toy_seeds))
        if "ring" in FLAGS.part:
            _ring(out, settings, taste, common.seeds())
    print(f"results in {out}: PART/metrics.csv, PART/checkpoints/ and figures/ of {', '.join(FLAGS.part)}")


def _toy(out, settings, seeds):
    strengths = [float(text) for text in FLAGS.strength]
    history = toy.play(
        out / "toy", settings, strengths, seeds,
        pool=FLAGS.toy_pool, generations=FLAGS.toy_generations, every=FLAGS.every, keep=FLAGS.keep,
    )  # fmt: skip
    found, dense = toy.measured(history, strengths), np.linspace(strengths[0], strengths[-1], DENSE)
    said = toy.table(found, toy.exact(np.array(strengths)), strengths)
    write(out / "toy.txt", said + "\n")  # measured and exact are fixed points, no courses
    print(said)
    figures.along(
        out / "figures" / "toy.png",
        found,
        toy.exact(dense),
        x=np.array(strengths),
        exact_x=dense,
        axis="strength of curation λ (1 / temperature)",
        rows=["p, which trains on what is curated", "q, which trains on samples of p"],
        labels={"alignment": "alignment J at the fixed point", "influence": "influence of curation dJ/dλ"},
        marks=toy.turning(),
        marks_label="dJ/dλ = 0",
        zero=["influence"],
    )


def _ring(out, settings, taste, seeds):
    others, lam = [float(text) for text in FLAGS.other], FLAGS.lam
    learner = ring.Learner(FLAGS.model, FLAGS.real, FLAGS.pool, *_steps())
    history = ring.play(
        out / "ring", settings, learner, taste, others, seeds,
        lam=lam, generations=FLAGS.generations, every=FLAGS.every, keep=FLAGS.keep,
    )  # fmt: skip
    found = ring.measured(history, len(others))
    course = ring.exact(taste, np.array(others), lam=lam, generations=FLAGS.generations)
    exact_means = course.reshape(2, -1, course.shape[-1])  # [2, curated × others, generations + 1]
    twins.leave(out / "ring", {f"reward_mean_{i}": exact_means[i] for i in range(2)}, ring.cells(others))
    print(ring.table(found[..., -1], course[..., -1], others))

    dense = np.linspace(0, max(others[-1], 0.5), DENSE)
    exact = ring.exact(taste, dense, lam=lam, generations=FLAGS.generations)[..., -1]
    last = np.swapaxes(found[..., -1], 2, 3)  # [2, curated, seeds, others]
    look = {"x": np.array(others), "exact_x": dense, "axis": "share of synthetic data that the other model made"}
    for name, label, rows, runs, of in (
        ("rewards", "mean reward E[r_{}]", ring.CURATED, last, exact),
        ("influences", "change of E[r_{}]", ring.INFLUENCES, ring.influences(last), ring.influences(exact)),
    ):
        of_model = {f"{name}_{model}": index for index, model in enumerate("pq")}
        figures.along(
            out / "figures" / f"{name}.png",
            {key: runs[index] for key, index in of_model.items()},
            {key: of[index] for key, index in of_model.items()},
            rows=list(rows),
            labels={key: label.format(key[-1]) for key in of_model},
            title=f"after {FLAGS.generations} generations",
            zero=[key for key in of_model if name == "influences"],
            **look,
        )
    figures.curves(
        out / "figures" / "courses.png",
        {f"reward_{model}": found[index, :, -1] for index, model in enumerate("pq")},
        {f"reward_{model}": course[index, :, -1] for index, model in enumerate("pq")},
        rows=list(ring.CURATED),
        labels={f"reward_{model}": f"mean reward E[r_{model}]" for model in "pq"},
        title=f"the other's share of synthetic data: {others[-1]:g}",
    )


def _steps():
    """Of a refit and of generation 0."""
    default = {"ddpm": (200, 3000), "flow_matching": (200, 2000), "flow": (100, 1000)}
    sizes = models.SIZES[FLAGS.model]
    steps, first = default.get(FLAGS.model, (sizes.steps, sizes.first))
    return FLAGS.steps or steps, FLAGS.first_steps or first


def _numbers(texts):
    values = common.floats(texts)
    return values if all(math.isfinite(value) and value >= 0 for value in values) else []


def _are_strengths(texts: list[str]) -> bool:
    values = np.array(_numbers(texts))
    return len(values) >= 3 and bool(values[1] > values[0]) and np.allclose(np.diff(values), values[1] - values[0])


def _are_shares(texts: list[str]) -> bool:
    values = _numbers(texts)
    return bool(values) and values[-1] <= 1 and all(low < high for low, high in itertools.pairwise(values))
