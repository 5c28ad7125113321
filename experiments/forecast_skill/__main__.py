"""How well a forecast from generation 0's samples foretells the trained loop, with the learner's bias told apart.

python -m experiments.forecast_skill --data=ring --model=gmm

For each data set and model a loop is forecast from the samples of generation 0 and then played. The table tells the
mean absolute error of class shares and of the mean reward, and what a learner without fault would have.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from curated_retraining.driver import claimed, write
from experiments import common, helps, twins
from experiments.forecast_skill import courses, report
from experiments.gmm import RING
from experiments.moons import MOONS
from experiments.plane import run
from experiments.plane.target import Target

FLAGS = flags.FLAGS
TARGETS = {"ring": RING, "moons": MOONS}
SNAPSHOT = 16_000  # samples of generation 0 that the forecast sees


def main() -> None:
    """Plays each model on each target, and leaves the table and the figures in `--out`."""
    out, rows = Path(FLAGS.out), []
    for data in FLAGS.data:
        run.asked(TARGETS[data], FLAGS.model[0])  # before the folder is claimed
    with claimed(out.absolute(), common.settings() | {"data": FLAGS.data}):
        for data in FLAGS.data:
            for model in FLAGS.model:
                rows += judge(TARGETS[data], data, model, out / f"{data}-{model}")
                print(report.table(rows))
        write(out / "skill.csv", report.as_csv(rows))
    print(f"results in {out}: skill.csv and, for each run, metrics.csv, checkpoints/ and figures/")


def judge(target: Target, data: str, model: str, folder: Path) -> list[dict[str, Any]]:
    """Plays one model on one target: a row of the table for every λ, and the figures."""
    played = run.play(target, model, folder, snapshot=SNAPSHOT)
    start = courses.known(target, played)
    options = {"k": FLAGS.k, "generations": FLAGS.generations, "temperature": FLAGS.temperature}
    foretold = jax.tree.map(np.asarray, courses.foretell(start, classes=len(target.names), **options))
    columns = [{"lam": lam, "seed": seed} for lam in FLAGS.lam for seed in common.seeds()]
    twins.leave(folder, {"share": foretold.share}, columns, twins.FORETOLD)
    pool = played.settings["pool"]
    perfect = courses.play_perfectly(start, len(target.names), pool, FLAGS.k, FLAGS.temperature)
    perfect = jax.tree.map(np.asarray, perfect)
    measured = courses.standardised(np.moveaxis(played.history["share"], 0, 1), played.history["reward_mean"].T, start)

    cells = [np.arange(i, i + FLAGS.seeds) for i in range(0, len(FLAGS.lam) * FLAGS.seeds, FLAGS.seeds)]
    rows = []
    for lam, cell in zip(FLAGS.lam, cells, strict=True):
        of_seeds, said, best = (
            jax.tree.map(lambda values, c=cell: values[c], c) for c in (measured, foretold, perfect)
        )
        rows += [
            {"data": data, "model": model, "lam": lam, "of": name, **report.errors(m, s, b)}
            for name, m, s, b in zip(courses.Course._fields, of_seeds, said, best, strict=True)
        ]
    report.draw(folder / "figures", target, *(jax.tree.map(partial(_stacked, cells), c) for c in (measured, foretold)))
    return rows


def _stacked(cells: list[np.ndarray], values: np.ndarray) -> np.ndarray:
    """`[cells, ...]` as `[rows, seeds, ...]`."""
    return np.stack([values[cell] for cell in cells])


if __name__ == "__main__":
    run.define("forecast_skill", generations=10, several=["gmm", "ddpm", "flow_matching"])
    with common.group(helps.PLAYED):
        common.several("data", TARGETS, "what is real")
    common.launch(main)
