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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import figures, grids, preferences
from curated_retraining.driver import drive
from curated_retraining.networks.mlp import MLP
from curated_retraining.types import Array, Generation, LoopState, Preference, PRNGKey, Reward, Static
from experiments import common, helps, twins
from experiments.gmm import RING
from experiments.plane import population

FLAGS = flags.FLAGS
PROXIES = ("truth", "frozen", "refitted", "ensemble")
AXES = {
    "reward_mean": "E[proxy]",
    "true_mean": "E[true reward]",
    "gap": "E[proxy] − E[true reward]",
    "correlation": "correlation in the pool",
}


class Sizes(NamedTuple):
    """What belongs to the program."""

    proxy: str
    k: int
    pool: int
    real: int
    comparisons: int
    steps: int
    members: int


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    common.loop("learned_reward", generations=16, k=8, lam=("inf",), temperature=0.25)
    common.repetitions()
    flags.FLAGS.set_default("seeds", 6)
    with common.group(helps.PLAYED):
        flags.DEFINE_multi_enum("proxy", list(PROXIES), list(PROXIES), "what curation reads; give it again for more")
        common.number("gamma", 1.0, "γ, the scale of the true reward in units of the people's temperature")
    with common.group(helps.SIZES):
        flags.DEFINE_integer("comparisons", 256, "choices between two that a proxy is fitted to", 1)
        flags.DEFINE_integer("steps", 300, "optimiser steps of a proxy's fit, 64 choices each", 1)
        flags.DEFINE_integer("members", 6, "networks of the ensemble", 2)
    with common.group(helps.PLAYED):
        common.number("pessimism", 3.0, "c: standard deviations of the members below their mean")
    with common.group(helps.SIZES):
        flags.DEFINE_integer("pool", 8000, "samples a generation, a multiple of K", 2)
        flags.DEFINE_integer("real", 2000, "real points, and points of the first choices", 8)


def main() -> None:
    """Plays every proxy, prints proxy beside truth and draws both."""
    if FLAGS.pool % FLAGS.k:
        raise app.UsageError(f"--pool={FLAGS.pool} does not split into groups of --k={FLAGS.k}: take a multiple")
    examples, truth, course = problem()
    out, lams = Path(FLAGS.out), [float(lam) for lam in FLAGS.lam]
    seeds = (FLAGS.seed + np.arange(FLAGS.seeds)).tolist()
    runs = {}
    for proxy in [name for name in PROXIES if name in FLAGS.proxy]:
        sizes = Static(Sizes(proxy, FLAGS.k, FLAGS.pool, FLAGS.real, FLAGS.comparisons, FLAGS.steps, FLAGS.members))
        bounds = {"pessimism": [0.0, FLAGS.pessimism]} if proxy == "ensemble" else {}
        cells = grids.grid({"lam": lams} | bounds, seeds)
        programs = grids.programs(Partial(make, sizes, truth, examples, FLAGS.temperature), cells)
        settings = common.settings() | {"proxy": proxy}
        history = drive(
            out / proxy,
            settings,
            *programs,
            cells=cells,
            generations=FLAGS.generations,
            every=FLAGS.every,
            keep=FLAGS.keep,
        )
        if proxy == "truth":
            twins.leave(out / proxy, {"reward_mean": course, "true_mean": course}, twins.over_seeds(cells))
        for index, name in enumerate(titles(proxy)):
            here = slice(index, None, len(titles(proxy)))
            rows = len(lams) * len(titles(proxy))
            runs[name] = {metric: common.by_row(values, rows)[here] for metric, values in history.items()}
    print(table(runs, course))
    (out / "figures").mkdir(exist_ok=True)
    for row, lam in enumerate(FLAGS.lam):
        draw(out / "figures" / f"lam={lam}.png", lam, runs, course, row)
    print(f"results in {out}: metrics.csv and checkpoints/ of {', '.join(FLAGS.proxy)}, and figures/")


def draw(path: Path, lam: str, runs: dict[str, dict[str, np.ndarray]], course: np.ndarray, row: int) -> None:
    """Writes the courses of one λ; what says nothing of a level, the refitted proxy, has none drawn."""
    measured = {metric: np.stack([values[metric][row] for values in runs.values()]) for metric in AXES}
    refitted = [name in titles("refitted") for name in runs]
    for metric in ("reward_mean", "gap"):
        measured[metric][refitted] = np.nan
    exact = np.full((len(runs), FLAGS.generations + 1), np.nan)
    exact[[name in titles("truth") for name in runs]] = course[row]
    figures.curves(
        path,
        measured,
        {"reward_mean": exact, "true_mean": exact},
        rows=list(runs),
        labels=AXES,
        theory="exact, curated by r",
        title=f"{common.row_titles([lam])[0]} (the refitted proxy has no level: choices are among its own pool)",
    )


def titles(proxy: str) -> list[str]:
    """What the table and the figure call the cells of a proxy, but for λ and seed."""
    if proxy == "truth":
        return ["true reward, no proxy"]
    if proxy == "ensemble":
        return [f"mean of {FLAGS.members}, frozen", f"mean − {FLAGS.pessimism:g} sd of {FLAGS.members}, frozen"]
    return [{"frozen": "one proxy, frozen", "refitted": "one proxy, refitted"}[proxy]]


def problem() -> tuple[Array, Reward, np.ndarray]:
    """The points of the first choices, r less its mean over them, and its exact mean `[lams, generations + 1]`."""
    examples = RING.draw(jax.random.key(7), FLAGS.real).x
    felt = cr.distance(jnp.array(RING.liked), r_min=0.0, gamma=FLAGS.gamma)
    truth = Partial(_less, felt, felt(examples).mean())
    plane = population.on_grid(RING, truth, 0.0)
    if (spread := plane.reward_range(FLAGS.temperature)) > population.MAX_RANGE:
        raise app.UsageError(
            f"--gamma={FLAGS.gamma} with --temperature={FLAGS.temperature} makes rewards range over {spread:.0f} "
            f"temperatures, the exact course takes {population.MAX_RANGE}: lower γ, or take --temperature=0"
        )
    p, _ = population.course(
        plane,
        k=FLAGS.k,
        lams=np.array([float(lam) for lam in FLAGS.lam]),
        temperature=FLAGS.temperature,
        generations=FLAGS.generations,
    )
    return examples, truth, np.asarray(p @ plane.reward)


def make(
    sizes: Static,
    truth: Reward,
    examples: Array,
    temperature: Array | float,
    *,
    lam: Array,
    pessimism: Array | float = 0.0,
) -> grids.Loop:
    """The loop of one cell; all but `sizes` may be traced."""
    _, k, pool, num_real, *_ = sizes.value
    model, mixing, preference = cr.gmm(8, steps=10), cr.with_real(lam), build(sizes.value, truth, examples, pessimism)
    step = cr.retraining(
        model,
        reward=preference,
        curate=cr.k_way(k, cr.luce(temperature)),
        mixing=mixing,
        pool_size=pool,
        metrics=Partial(both, truth),
    )

    def start(key: PRNGKey) -> LoopState:
        data_key, start_key = jax.random.split(key)
        return cr.start(start_key, model, mixing, RING.draw(data_key, num_real), slot=pool // k, reward=preference)

    return grids.Loop(start, step)


def build(sizes: Sizes, truth: Reward, examples: Array, pessimism: Array | float) -> Preference:
    """What curation reads."""
    if sizes.proxy == "truth":
        return preferences.constant(truth)
    proxy = preferences.learned(
        MLP(out=1),
        truth,
        cr.luce(),
        examples,
        comparisons=sizes.comparisons,
        members=sizes.members if sizes.proxy == "ensemble" else 1,
        pessimism=pessimism,
        steps=sizes.steps,
        batch_size=64,
        learning_rate=3e-3,
    )
    return proxy if sizes.proxy == "refitted" else preferences.frozen(proxy)


def both(truth: Reward, record: Generation) -> dict[str, Array]:
    """Means of the proxy and of the true reward in the pool, their difference, and how the two go together."""
    felt = truth(record.pool)
    means = {"reward_mean": record.reward.mean(), "true_mean": felt.mean()}
    correlation = jnp.corrcoef(record.reward, felt)[0, 1]
    return means | {"gap": means["reward_mean"] - means["true_mean"], "correlation": correlation}


def table(runs: dict[str, dict[str, np.ndarray]], course: np.ndarray) -> str:
    """Proxy and truth, mean over seeds, at the start, at the true reward's best, and at the end."""
    lines = []
    for row, lam in enumerate(FLAGS.lam):
        columns = [
            "E[true] t=0",
            "best",
            "at t",
            "last",
            "fall",
            "± se",
            "E[proxy] at best",
            "last",
            "correlation",
            "last",
        ]
        lines.append(f"{f'λ={lam}':>24}" + "".join(f"{name:>{max(8, len(name) + 2)}}" for name in columns))
        for name, values in runs.items():
            true, proxy, together = (values[metric][row] for metric in ("true_mean", "reward_mean", "correlation"))
            mean = true.mean(axis=0)
            best = int(mean.argmax())
            fall = true[:, best] - true[:, -1]
            error = fall.std(ddof=1) / len(fall) ** 0.5 if len(fall) > 1 else np.nan
            read, alike = proxy.mean(axis=0), together.mean(axis=0)
            numbers = [
                mean[0],
                mean[best],
                best,
                mean[-1],
                fall.mean(),
                error,
                read[best],
                read[-1],
                alike[0],
                alike[-1],
            ]
            cells = zip(columns, numbers, strict=True)
            lines.append(
                f"{name:>24}" + "".join(f"{n:>{max(8, len(c) + 2)}.{0 if c == 'at t' else 3}f}" for c, n in cells)
            )
        for name in runs.keys() & set(titles("truth")):
            away = np.abs(runs[name]["true_mean"][row].mean(axis=0) - course[row])
            lines.append(f"{'no proxy to exact':>24}{away.max():8.3f} at most, at t={away.argmax()}")
    return "\n".join(lines)


def _less(reward: Reward, offset: Array, x: Array) -> Array:
    return reward(x) - offset


if __name__ == "__main__":
    define()
    common.launch(main)
