"""Over-optimisation of a learned reward on a ring of eight Gaussians: what curation reads, and what people feel.

python -m experiments.learned_reward

People feel r(x) = −γ ‖x − (2, 0)‖ and choose one of two by Bradley-Terry; a network fitted to few such choices, the
proxy, then curates the loop strongly. It is fitted once (`frozen`), in each generation to choices among the pool
(`refitted`), or it is an ensemble, frozen too, of which the mean or a lower bound, mean − c · sd, is read. `truth`
curates by r itself, which has an exact course. Proxy and r count from their means over the points of the first choices;
γ is in units of the people's temperature, so that the two compare. Choices among a pool say nothing of its level: the
gap of the refitted proxy, whose pool has left those points, is no error of curation. λ = #curated / #real.
"""

from pathlib import Path

from absl import flags
from jax.tree_util import Partial

from curated_retraining import grids
from curated_retraining.types import Static
from experiments import common, devices, helps, loops, twins
from experiments.learned_reward import proxies, report

FLAGS = flags.FLAGS


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    common.loop("learned_reward", generations=16, k=8, lam=("inf",), temperature=0.25)
    common.repetitions(seeds=6)
    with common.group(helps.PLAYED):
        common.several("proxy", proxies.NAMES, "what curation reads")
        common.number("gamma", 1.0, "γ, the scale of the true reward in units of the people's temperature")
    with common.group(helps.SIZES):
        common.count("comparisons", 256, "choices between two that a proxy is fitted to", 1)
        common.count("steps", 300, "optimiser steps of a proxy's fit, 64 choices each", 1)
        common.count("members", 6, "networks of the ensemble", 2)
    with common.group(helps.PLAYED):
        common.number("pessimism", 3.0, "c: standard deviations of the members below their mean")
    with common.group(helps.SIZES):
        common.count("pool", 8000, "samples a generation, a multiple of K", 2)
        common.count("real", 2000, "real points, and points of the first choices", 8)
    devices.define()


def main() -> None:
    """Plays every proxy, prints proxy beside truth and draws both."""
    loops.require_groups(FLAGS.pool)
    out, lams = Path(FLAGS.out), [float(lam) for lam in FLAGS.lam]
    mesh = devices.mesh(len(lams) * FLAGS.seeds)  # of an ensemble there are twice as many cells, which split too
    examples, truth, course = proxies.problem()
    runs = {}
    for proxy in [name for name in proxies.NAMES if name in FLAGS.proxy]:
        sizes = Static(
            proxies.Sizes(proxy, FLAGS.k, FLAGS.pool, FLAGS.real, FLAGS.comparisons, FLAGS.steps, FLAGS.members)
        )
        bounds = {"pessimism": [0.0, FLAGS.pessimism]} if proxy == "ensemble" else {}
        cells = grids.grid({"lam": lams} | bounds, common.seeds())
        play = Partial(proxies.make, sizes, truth, examples, FLAGS.temperature)
        found, names = loops.driven(out / proxy, play, cells, mesh=mesh, proxy=proxy), report.titles(proxy)
        if proxy == "truth":
            twins.leave(out / proxy, {"reward_mean": course, "true_mean": course}, twins.over_seeds(cells))
        for index, name in enumerate(names):
            runs[name] = {metric: values[index :: len(names)] for metric, values in found.items()}
    print(report.table(runs, course))
    (out / "figures").mkdir(exist_ok=True)
    for row, lam in enumerate(FLAGS.lam):
        report.draw(out / "figures" / f"lam={lam}.png", lam, runs, course, row)
    print(f"results in {out}: metrics.csv and checkpoints/ of {', '.join(FLAGS.proxy)}, and figures/")


if __name__ == "__main__":
    define()
    common.launch(main)
