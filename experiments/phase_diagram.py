"""Where a curated loop on the ring of eight Gaussians settles, over (λ, K), (λ, γ) and (temperature, K).

python -m experiments.phase_diagram
python -m experiments.phase_diagram --model=gmm

Maps of the limit's reward, entropy of the modes' shares, KL to the real data and minority share (the smallest mode's),
and of the generations to collapse: the first generation, up to `--horizon`, whose entropy of the modes' shares is below
half of generation 0's. They are those of a perfect learner; a model's loops are trained at a few cells and drawn over
them. λ = #curated / #real, and λ = 1 / (K − 1) is the threshold below which KL(limit ‖ real data) has a ceiling for all
rewards.
"""

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

import curated_retraining as cr
from curated_retraining.driver import claimed, write
from experiments import common, helps
from experiments.gmm import RING
from experiments.phase import axes, exact, report, trained
from experiments.phase.axes import Grid
from experiments.phase.exact import Found
from experiments.phase.levels import Levels, merge
from experiments.phase.trained import Learner
from experiments.plane import models, population
from experiments.plane.population import Population

FLAGS = flags.FLAGS
OUT = "runs/phase_diagram"
FLAGS_OF_RESULTS = (
    "axes", "grid", "k", "lam", "gamma", "temperature", "r_min", "target", "horizon", "model", "trained", "curated",
    "real", "steps", "first_steps", "generations", "seeds", "seed",
)  # fmt: skip


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    with common.group(helps.MAPS):
        common.several("axes", axes.PAIRS, "what a map goes over")
        common.count("grid", 16, "cells along each axis of an exact map", 2, axes.MOST)
        common.number("k", 4.0, "K where no axis, real where nothing is trained")
        common.number("lam", 0.25, "λ = #curated / #real where no axis, finite")
        common.number("gamma", 10.0, "γ, the scale of the reward −γ max(0, ‖x − target‖ − r_min), where no axis")
        common.number("temperature", 1.0, "temperature of the choice where no axis; 0 is best-of-K")
        common.number("r_min", RING.r_min, "the radius within which the reward is at its best")
        flags.DEFINE_list("target", [str(value) for value in RING.liked], "x,y: the point that is liked best")
        common.count("horizon", 200, "generations within which a collapse is looked for", 1)
        common.count("memory", 256, "MiB that an exact map may take: cells are computed in chunks that fit", 1)
    with common.group(helps.PLAYED):
        flags.DEFINE_enum("model", "exact", ["exact", *models.SIZES], "what is trained at some cells; exact: nothing")
        flags.DEFINE_list("trained", ["4", "3"], "cells along the first and the second axis where a model is trained")
    with common.group(helps.SIZES):
        common.count("curated", 4000, "curated points a generation; the pool is K times as many", 1)
        common.count("real", 4000, "real points", 2)
        common.count("steps", None, "optimiser or EM steps of a refit (by default as suits the model)", 1)
        common.count("first_steps", None, "the same for generation 0", 1)
    with common.group(helps.LOOP):
        common.count(
            "generations", 12, "retrainings of a trained loop; the last 3 are measured", trained.LAST, common.SEVERAL
        )
    with common.group(helps.SIZES):
        common.count("seeds", 3, "repetitions of a trained loop", most=common.SEVERAL)
        common.count("seed", 0, "seed of the first repetition; the others follow", 0)
    common.checkpoints()
    with common.group(helps.RESULTS):
        flags.DEFINE_string(
            "out", None, f"folder for the results (by default {OUT}, or {OUT}_MODEL where one is trained)"
        )
    flags.register_validator("k", lambda k: k >= 1, "takes a number >= 1, such as --k=4")
    flags.register_validator("gamma", lambda gamma: gamma > 0, "takes a number > 0, such as --gamma=10")
    flags.register_validator("target", common.is_point, "takes two finite numbers, such as --target=2,0")
    flags.register_validator(
        "trained", _are_counts, f"takes two whole numbers of 1 to {axes.MOST}, such as --trained=4,3"
    )


def main() -> None:
    """Computes, or reads where it is there, what the flags ask for and leaves it in `--out`."""
    out = Path(FLAGS.out or (OUT if FLAGS.model == "exact" else f"{OUT}_{FLAGS.model}"))
    pairs = [pair for pair in axes.PAIRS if pair in FLAGS.axes]
    fixed = {name: getattr(FLAGS, name) for name in axes.RANGES}
    given = {
        "axes": pairs,
        "target": [float(text) for text in FLAGS.target],
        "trained": [int(n) for n in FLAGS.trained],
    }
    settings = common.settings(*FLAGS_OF_RESULTS) | given
    _refuse_what_cannot_be_trained(pairs)
    plane, levels = real_data()
    grids = {pair: axes.exact_grid(pair, FLAGS.grid, fixed) for pair in pairs}
    for grid in grids.values():
        exact.plan(levels, grid.cells, horizon=FLAGS.horizon, memory=FLAGS.memory * 2**20)
    with claimed(out.absolute(), settings):
        found = {pair: exact_map(out / f"{_file(pair)}.csv", levels, grid) for pair, grid in grids.items()}
        over = {} if FLAGS.model == "exact" else train(out, settings, plane, levels, pairs, fixed)
        (out / "figures").mkdir(exist_ok=True)
        for pair, grid in grids.items():
            path = out / "figures" / f"{_file(pair)}.png"
            report.draw(path, pair, grid, found[pair], fixed, horizon=FLAGS.horizon, trained=over.get(pair))
    names = ", ".join(_file(pair) for pair in pairs)
    print(f"results in {out}: NAME.csv and figures/NAME.png of {names}")


def real_data() -> tuple[Population, Levels]:
    """The ring on a grid, with the reward at γ = 1, and its levels."""
    liked = jnp.array([float(text) for text in FLAGS.target])
    plane = population.on_grid(RING, cr.distance(liked, r_min=FLAGS.r_min, gamma=1.0), 0.0)
    levels = merge(plane, len(RING.names))
    if not np.ptp(levels.reward) > 0:
        raise app.UsageError(f"--r_min={FLAGS.r_min} makes all points equally good: take a smaller radius")
    return plane, levels


def exact_map(path: Path, levels: Levels, grid: Grid, window: tuple[int, int] | None = None) -> Found:
    """What the perfect learner does in the cells of `grid`; computed once, then read from `path`."""
    if text := report.kept(path):
        print(f"{path} is complete")
        return report.from_csv(text, grid.cells.k.shape)
    began = time.perf_counter()
    how = exact.plan(levels, grid.cells, horizon=FLAGS.horizon, memory=FLAGS.memory * 2**20)
    chunks = f"{grid.cells.k.size} cells, {how.batch} at a time, over {len(levels.p_ref)} levels of reward"
    print(f"{path.stem}: {chunks}; reckoned memory {how.bytes / 2**20:.1f} MiB", end="", flush=True)
    function = exact.program(levels, grid.cells, how, horizon=FLAGS.horizon, window=window or (0, 1))
    compiled = jax.jit(lambda function: function()).lower(function).compile()
    taken = exact.bytes_of(compiled)
    print(f", {taken / 2**20:.1f} MiB by the compiler" if taken else "", end="", flush=True)
    found = exact.unsorted(compiled(function), grid.cells)
    found = {name: values for name, values in found.items() if window or not name.startswith("course_")}
    unsettled = np.isnan(found["kl"]).sum()
    print(f"; {time.perf_counter() - began:.1f} s" + (f"; {unsettled} limits are not reached" if unsettled else ""))
    report.keep(path, report.to_csv(grid, found))
    return found


def train(
    out: Path,
    settings: dict[str, Any],
    plane: Population,
    levels: Levels,
    pairs: list[str],
    fixed: dict[str, float],
) -> dict[str, tuple[Grid, Found, str, str]]:
    """Trains the loops of all pairs, prints measured beside exact, and returns what `report.draw` puts on the maps."""
    across, up = (int(text) for text in FLAGS.trained)
    grids = {pair: axes.trained_grid(pair, (across, up), fixed) for pair in pairs}
    places = {pair: trained.places(grid.cells) for pair, grid in grids.items()}
    sizes = models.SIZES[FLAGS.model]
    learner = Learner(
        FLAGS.model, FLAGS.real, FLAGS.curated, FLAGS.steps or sizes.steps, FLAGS.first_steps or sizes.first
    )
    histories = trained.play(
        out / "trained", settings, RING, plane, learner, [place for pair in pairs for place in places[pair]],
        liked=[float(text) for text in FLAGS.target], r_min=FLAGS.r_min,
        seeds=jnp.asarray(common.seeds()), generations=FLAGS.generations, every=FLAGS.every,
        keep=FLAGS.keep,
    )  # fmt: skip
    called = f"trained {FLAGS.model}, {f'mean of {FLAGS.seeds} seeds' if FLAGS.seeds > 1 else 'one seed'}"
    hollow = f"not every seed collapsed in {FLAGS.generations} generations"
    over = {}
    for pair, grid in grids.items():
        runs = [trained.measured(histories[place], levels, place.gamma) for place in places[pair]]
        mean, error = report.over_seeds(runs, grid.cells.k.shape)
        window = (FLAGS.generations + 1 - trained.LAST, FLAGS.generations + 1)
        theirs = exact_map(out / f"{_file(pair)}_at_trained.csv", levels, grid, window)
        errors = {f"{name}_error": values for name, values in error.items()}
        write(out / f"{_file(pair)}_trained.csv", report.to_csv(grid, mean | errors))
        said = report.compare(pair, grid, mean, error, theirs)
        write(out / f"{_file(pair)}.txt", said + "\n")
        print(said)
        over[pair] = (grid, mean, called, hollow)
    return over


def _refuse_what_cannot_be_trained(pairs: list[str]) -> None:
    if FLAGS.model == "exact":
        return
    if "lam,gamma" in pairs and (FLAGS.k < 2 or FLAGS.k != round(FLAGS.k)):
        raise app.UsageError(
            f"--k={FLAGS.k} is no size of a group of samples: take a whole number >= 2, or --model=exact"
        )
    if FLAGS.generations > FLAGS.horizon:
        raise app.UsageError(
            f"--generations={FLAGS.generations} are more than --horizon={FLAGS.horizon}, the exact course's: raise that"
        )


def _file(pair: str) -> str:
    return pair.replace(",", "_")


def _are_counts(texts: list[str]) -> bool:
    return len(texts) == 2 and all(common.is_whole(text, 1, axes.MOST) for text in texts)


if __name__ == "__main__":
    define()
    common.launch(main)
