"""Tastes that move on a ring of eight Gaussians: people who come to like what they see, and people who drift.

python -m experiments.moving

Both feel r(x) = ⟨w, φ(x)⟩ with φ(x) the direction of x, a unit vector. `co_evolving` people begin at `--weight` and
follow what was kept, w' = Proj_{‖w‖ ≤ 1}((1 − β) w + β E[φ]); `drifting` people turn once round in `--period`
generations, whatever they see. The exact course is that of a perfect learner on a grid. λ = #curated / #real.
"""

import math
from pathlib import Path

import numpy as np
from absl import app, flags
from jax.tree_util import Partial

from curated_retraining import grids
from curated_retraining.types import Static
from experiments import common, devices, helps, loops, twins
from experiments.moving import people, report
from experiments.plane import population

FLAGS = flags.FLAGS


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    common.loop("moving", generations=24, temperature=0.25)
    common.repetitions()
    with common.group(helps.PLAYED):
        common.several("taste", people.KINDS, "how people change")
        flags.DEFINE_enum("model", "gmm", list(people.MODELS), "what is retrained")
        common.number("beta", 0.3, "β in [0, 1]: how far the taste of co_evolving people moves in a generation")
        flags.DEFINE_list("weight", ["0.2", "0.1"], "w of co_evolving people in generation 0, of length at most 1")
        common.count("period", 16, "generations in which drifting people turn once round", 2)
    with common.group(helps.SIZES):
        common.count("pool", 40_000, "samples a generation, a multiple of K", 2)
        common.count("real", 5000, "real points", 8)
    devices.define()
    flags.register_validator("beta", lambda beta: beta <= 1, "takes a number in [0, 1], such as --beta=0.3")
    flags.register_validator("weight", _in_the_disk, "takes two numbers of length at most 1, such as --weight=0.2,0.1")


def main() -> None:
    """Plays each kind of people, prints measured beside exact and draws both."""
    loops.require_groups(FLAGS.pool)
    if FLAGS.temperature and 2 / FLAGS.temperature > population.MAX_RANGE:
        raise app.UsageError(f"--temperature={FLAGS.temperature} is too low for the exact course: take 0 (best-of-K)")
    out, lams = Path(FLAGS.out), np.array([float(lam) for lam in FLAGS.lam])
    cells = grids.grid({"lam": lams.tolist()}, common.seeds())
    mesh = devices.mesh(len(cells))
    for kind in FLAGS.taste:
        sizes = Static(people.Sizes(FLAGS.model, FLAGS.k, FLAGS.pool, FLAGS.real))
        play = Partial(people.make, sizes, *people.build(kind), FLAGS.temperature)
        measured = loops.driven(out / kind, play, cells, mesh=mesh, taste=kind)
        course = people.exact(kind, lams)
        twins.leave(out / kind, course, twins.over_seeds(cells))
        print(report.table(kind, measured, course))
        report.draw(out / kind / "figures", kind, measured, course)
    left = "metrics.csv, exact.csv, checkpoints/ and figures/ (paths.png, curves.png)"
    print(f"results in {out}: {left} of {', '.join(FLAGS.taste)}")


def _in_the_disk(texts: list[str]) -> bool:
    values = common.floats(texts)
    return len(values) == 2 and math.hypot(*values) <= 1


if __name__ == "__main__":
    define()
    common.launch(main)
