"""How well a forecast from generation 0's samples foretells the trained loop, with the learner's bias told apart.

python -m experiments.forecast_skill --data=ring --model=gmm

For each data set and model a loop is forecast from the samples of generation 0 and then played. The table tells the
mean absolute error of class shares and of the mean reward, and what a learner without fault would have.
"""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import figures, forecast
from curated_retraining.data import cumulative, draw_index
from curated_retraining.driver import claimed, write
from curated_retraining.types import Array, LoopState, Model
from experiments import common, helps, twins
from experiments.gmm import RING
from experiments.moons import MOONS
from experiments.plane import run
from experiments.plane.target import Target

FLAGS = flags.FLAGS
TARGETS = {"ring": RING, "moons": MOONS}
SNAPSHOT = 16_000  # samples of generation 0 that the forecast sees
REPEATS = 8  # loops of the perfect learner, for the size of sampling errors


class Start(NamedTuple):
    """What is known before any retraining, of every cell."""

    reward: Array  # [cells, n], of the samples of generation 0
    label: Array  # [cells, n]
    real_reward: Array  # [cells, m]
    real_label: Array  # [cells, m]
    lam: Array  # [cells]


class Course(NamedTuple):
    """Class shares and the mean reward less that of generation 0, in its standard deviations."""

    share: np.ndarray  # [..., generations + 1, classes]
    reward: np.ndarray  # [..., generations + 1]


def main() -> None:
    """Plays each model on each target, and leaves the table and the figures in `--out`."""
    out, rows = Path(FLAGS.out), []
    with claimed(out.absolute(), common.settings() | {"data": FLAGS.data}):
        for data in FLAGS.data:
            for model in FLAGS.model:
                rows += judge(TARGETS[data], data, model, out / f"{data}-{model}")
                print(table(rows))
        write(out / "skill.csv", as_csv(rows))
    print(f"results in {out}: skill.csv and, for each run, metrics.csv, checkpoints/ and figures/")


def judge(target: Target, data: str, model: str, folder: Path) -> list[dict[str, Any]]:
    """Plays one model on one target: a row of the table for every λ, and the figures."""
    played = run.play(target, model, folder, snapshot=SNAPSHOT)
    start = known(target, played)
    options = {"k": FLAGS.k, "generations": FLAGS.generations, "temperature": FLAGS.temperature}
    foretold = jax.tree.map(np.asarray, foretell(start, classes=len(target.names), **options))
    seeds = [FLAGS.seed + i for i in range(FLAGS.seeds)]
    columns = [{"lam": lam, "seed": seed} for lam in FLAGS.lam for seed in seeds]
    twins.leave(folder, {"share": foretold.share}, columns, twins.FORETOLD)
    perfect = jax.tree.map(
        np.asarray, play_perfectly(start, len(target.names), played.settings["pool"], FLAGS.k, FLAGS.temperature)
    )
    measured = standardised(np.moveaxis(played.history["share"], 0, 1), played.history["reward_mean"].T, start)

    cells = [np.arange(i, i + FLAGS.seeds) for i in range(0, len(FLAGS.lam) * FLAGS.seeds, FLAGS.seeds)]
    rows = []
    for lam, cell in zip(FLAGS.lam, cells, strict=True):
        of_seeds, said, best = (
            jax.tree.map(lambda values, c=cell: values[c], c) for c in (measured, foretold, perfect)
        )
        rows += [
            {"data": data, "model": model, "lam": lam, "of": name, **errors(m, s, b)}
            for name, m, s, b in zip(Course._fields, of_seeds, said, best, strict=True)
        ]
    titles = common.row_titles(FLAGS.lam)
    shown, dashed = (jax.tree.map(lambda values: np.stack([values[c] for c in cells]), c) for c in (measured, foretold))
    (folder / "figures").mkdir(exist_ok=True)
    figures.shares(
        folder / "figures/shares.png",
        shown.share,
        dashed.share.mean(axis=1),
        rows=titles,
        names=target.names,
        theory="forecast from generation 0",
    )
    figures.curves(
        folder / "figures/reward.png",
        {"reward": shown.reward},
        {"reward": dashed.reward.mean(axis=1)},
        rows=titles,
        labels={"reward": "gain of mean reward (sd of t = 0)"},
        theory="forecast from generation 0",
    )
    return rows


def known(target: Target, played: run.Played) -> Start:
    """Rewards and labels of generation 0's samples and of the real data."""
    seeds = jnp.tile(FLAGS.seed + jnp.arange(FLAGS.seeds), len(FLAGS.lam))

    def of(inputs):
        pool, seed = inputs
        real = run.real_data(target, seed, FLAGS.real).x
        return played.reward(pool), target.label(pool), played.reward(real), target.label(real)

    pools = jnp.asarray(played.history["pool"][0])
    reward, label, real_reward, real_label = jax.jit(lambda *cells: jax.lax.map(of, cells))(pools, seeds)
    lams = jnp.asarray(np.repeat([float(lam) for lam in FLAGS.lam], FLAGS.seeds), jnp.float32)
    return Start(reward, label, real_reward, real_label, lams)


def foretell(start: Start, **options: Any) -> Course:
    """The forecast of every cell."""

    def of(start):
        course = forecast.forecast(
            start.reward,
            start.label,
            lam=start.lam,
            real_reward=start.real_reward,
            real_label=start.real_label,
            **options,
        )
        return course.share, course.reward_mean

    share, reward = jax.jit(lambda start: jax.lax.map(of, start))(start)
    return standardised(share, reward, start)


def play_perfectly(start: Start, classes: int, pool: int, k: int, temperature: float) -> Course:
    """The sampled loop of a learner without fault that begins with generation 0's samples: `[cells, repeats, ...]`."""

    def of(inputs):
        start, key = inputs
        reward = jnp.concatenate([start.reward, start.real_reward])
        label = jnp.concatenate([start.label, start.real_label])
        n, m = start.reward.size, start.real_reward.size
        mixing = cr.with_real(start.lam)
        step = cr.retraining(
            frequencies(n + m),
            reward=Partial(jnp.take, reward),
            curate=cr.k_way(k, cr.luce(temperature)),
            mixing=mixing,
            pool_size=pool,
            metrics=cr.metrics.join(
                cr.metrics.proportions(Partial(jnp.take, label), classes), cr.metrics.reward_moments()
            ),
        )
        p_0 = jnp.where(jnp.arange(n + m) < n, 1 / n, 0.0)
        real = cr.uniform(n + jnp.arange(m))
        state = LoopState(jnp.zeros((), int), p_0, mixing.init(real, pool // k), ())

        def once(key):
            history = cr.run(key, state, step, FLAGS.generations + 1)[1]
            return history["share"], history["reward_mean"]

        return jax.lax.map(once, jax.random.split(key, REPEATS))

    keys = jax.random.split(jax.random.key(2), len(start.lam))
    share, reward = jax.jit(lambda start, keys: jax.lax.map(of, (start, keys)))(start, keys)
    return standardised(share, reward, start)


def frequencies(num: int) -> Model:
    """All distributions over the numbers 0..num−1, fitted exactly."""

    def fit(key, state, data):
        del key
        return jnp.zeros_like(state).at[data.x].add(data.weight)

    def sample(key, state, num):
        return draw_index(key, cumulative(state), num)

    return Model(lambda key, x: jnp.full(num, 1 / num), fit, sample, log_prob=None)


def standardised(share: Array | np.ndarray, reward: Array | np.ndarray, start: Start) -> Course:
    """`share` `[cells, ..., t, classes]` and mean `reward` `[cells, ..., t]` by generation 0's mean and deviation."""
    sd = np.asarray(start.reward).std(axis=1).reshape(-1, *(1,) * (np.ndim(reward) - 1))
    mean = np.asarray(reward)
    return Course(np.asarray(share), (mean - mean[..., :1]) / sd)


def errors(measured: np.ndarray, foretold: np.ndarray, perfect: np.ndarray) -> dict[str, float]:
    """Mean absolute errors over generations 1, 2, ... and classes, of `[seeds, t, ...]`.

    `error` and its range over seeds; `perfect`, that of a learner without fault on pools of the same size, which is
    sampling alone; `bias`, that of the mean over seeds, with what sampling alone would leave of it, `bias_perfect`.
    """
    of_seed = np.abs(measured - foretold)[:, 1:].reshape(len(measured), -1).mean(axis=1)
    off = (perfect - foretold[:, None])[:, :, 1:]
    return {
        "error": of_seed.mean(),
        "error_low": of_seed.min(),
        "error_high": of_seed.max(),
        "perfect": np.abs(off).mean(),
        "bias": np.abs((measured - foretold)[:, 1:].mean(axis=0)).mean(),
        "bias_perfect": np.abs(off.mean(axis=0)).mean(),
    }


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    lines = [
        f"{'data':>6} {'model':>14} {'λ':>5} {'of':>7} {'error':>7} {'over seeds':>15} {'perfect':>8} "
        f"{'bias':>7} {'perfect':>8}"
    ]
    for row in rows:
        span = f"{row['error_low']:.4f}–{row['error_high']:.4f}"
        lines.append(
            f"{row['data']:>6} {row['model']:>14} {row['lam']:>5} {row['of']:>7} {row['error']:7.4f} {span:>15} "
            f"{row['perfect']:8.4f} {row['bias']:7.4f} {row['bias_perfect']:8.4f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run.define("forecast_skill", generations=10, several=["gmm", "ddpm", "flow_matching"])
    with common.group(helps.PLAYED):
        flags.DEFINE_multi_enum("data", list(TARGETS), list(TARGETS), "what is real; give it again for more")
    common.launch(main)
