"""The experiment from its flags to its folder."""

import math
from pathlib import Path

import numpy as np
from absl import app, flags
from jax.tree_util import Partial

from curated_retraining import grids
from curated_retraining.driver import History, drive, newest
from experiments import common, helps, twins
from experiments.alignment import methods, problems, report
from experiments.alignment.methods import Method
from experiments.alignment.problems import Problem
from experiments.alignment.report import Course
from experiments.repeated import by_row

FLAGS = flags.FLAGS
TIMES = 4  # as many steps of DPO and REINFORCE on the finite support, where one is cheap


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    common.loop("alignment", generations=6)
    with common.group(helps.PLAYED):
        flags.DEFINE_list("beta", ["1", "0.5", "0.25"], "β of the KL regulariser, of DPO and of REINFORCE")
        flags.DEFINE_list("n", ["2", "4", "8", "16", "32"], "n of best-of-n distillation")
        common.number("gamma", 1.0, "γ, the scale of the rewards")
    with common.group(helps.SIZES):
        common.count("curated", 10_000, "points that a generation keeps, pairs of DPO; the pool is K or n times it", 1)
        common.count("real", 20_000, "real points of the ring", 2)
        common.count("steps", 100, "steps of a refit; of best-of-n, DPO and REINFORCE --generations times it", 1)
        common.count("first_steps", 1500, "steps of generation 0 on the ring", 1)
    common.repetitions()
    flags.register_validator("beta", _are_positive, "takes one or more different numbers > 0, such as --beta=1,0.5")
    flags.register_validator("n", _are_counts, "takes one or more different whole numbers >= 1, such as --n=2,8")


def main() -> None:
    """Plays every method on both problems and leaves numbers, table and figure in `--out`."""
    if not FLAGS.temperature or not FLAGS.gamma:
        name = "temperature" if FLAGS.gamma else "gamma"
        raise app.UsageError(f"--{name}=0 leaves DPO and reward-weighted regression without an optimum: raise it")
    out, steps = Path(FLAGS.out), FLAGS.generations * FLAGS.steps
    given = methods.Settings(
        k=FLAGS.k,
        lams=[float(text) for text in FLAGS.lam],
        betas=[float(text) for text in FLAGS.beta],
        draws=[int(text) for text in FLAGS.n],
        temperature=FLAGS.temperature,
        generations=FLAGS.generations,
        curated=FLAGS.curated,
    )
    finite = problems.finite(FLAGS.gamma, TIMES * steps)
    ring = problems.ring(FLAGS.gamma, FLAGS.real, FLAGS.first_steps, FLAGS.steps, steps)
    played = {
        "finite support": (finite.points, play(out / "finite", finite, given)),
        "ring, normalizing flow": (ring.points, play(out / "ring", ring, given)),
    }
    report.write(out, played)


def play(folder: Path, problem: Problem, given: methods.Settings) -> list[Course]:
    """Drives each method in a folder of its own: its courses, measured and exact."""
    first = methods.first(problem)
    drive_all(folder, first)
    begun = newest(folder / first.name, programs(first)[0])
    played = [(method, drive_all(folder, method)) for method in methods.all_of(problem, begun, given)]
    for method, _ in played:
        course = dict(zip(report.NAMES, np.moveaxis(report.exact_courses(problem.points, method), -1, 0), strict=True))
        twins.leave(_folder(folder, method), course, twins.over_seeds(grid(method)))
    return [course for method, history in played for course in report.courses(problem.points, method, history)]


def programs(method: Method) -> tuple[Partial, Partial]:
    """`begin` and `advance` of all values and seeds of a method."""
    cells = [dict(cell) | {"repetition": cell["seed"] - FLAGS.seed} for cell in grid(method)]
    return grids.programs(method.make, cells)


def drive_all(folder: Path, method: Method) -> History:
    """The history of a method, `[values, seeds, generations + 1]` a metric."""
    cells = grid(method)
    history = drive(
        _folder(folder, method),
        common.settings(),
        *programs(method),
        cells=cells,
        generations=method.generations,
        every=FLAGS.every,
        keep=FLAGS.keep,
    )
    return {name: by_row(values, len(cells) // FLAGS.seeds) for name, values in history.items()}


def grid(method: Method) -> list[grids.Cell]:
    """The cells of a method: its values × seeds."""
    return grids.grid(method.axes, common.seeds())


def _folder(folder: Path, method: Method) -> Path:
    return folder / method.name.replace(" ", "_")


def _are_positive(texts: list[str]) -> bool:
    values = common.distinct(texts)
    return bool(values) and all(0 < value < math.inf for value in values)


def _are_counts(texts: list[str]) -> bool:
    return bool(common.distinct(texts)) and all(common.is_whole(text, 1) for text in texts)
