"""Tastes that move on a ring of eight Gaussians: people who come to like what they see, and people who drift.

python -m experiments.moving

Both feel r(x) = ⟨w, φ(x)⟩ with φ(x) the direction of x, a unit vector. `co_evolving` people begin at `--weight` and
follow what was kept, w' = Proj_{‖w‖ ≤ 1}((1 − β) w + β E[φ]); `drifting` people turn once round in `--period`
generations, whatever they see. The exact course is that of a perfect learner on a grid. λ = #curated / #real.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import figures, grids, metrics, preferences, theory
from curated_retraining.driver import drive
from curated_retraining.types import Array, Generation, LoopState, Preference, PRNGKey, Static, Step
from experiments import common, helps, twins
from experiments.gmm import RING
from experiments.plane import models, population

FLAGS = flags.FLAGS
KINDS = ("co_evolving", "drifting")
MODELS = ("gmm", "finite")
AXES = {
    "reward_mean": "mean reward E[⟨w, φ⟩]",
    "population_length": "length of E[φ] (1: all alike)",
    "entropy": "entropy of modes (nats)",
    "taste_length": "length of w",
}


class Sizes(NamedTuple):
    """What belongs to the program."""

    model: str
    k: int
    pool: int
    real: int


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    common.loop("moving", generations=24, temperature=0.25)
    common.repetitions()
    with common.group(helps.PLAYED):
        flags.DEFINE_multi_enum("taste", list(KINDS), list(KINDS), "how people change; give it again for more")
        flags.DEFINE_enum("model", "gmm", list(MODELS), "what is retrained")
        common.number("beta", 0.3, "β in [0, 1]: how far the taste of co_evolving people moves in a generation")
        flags.DEFINE_list("weight", ["0.2", "0.1"], "w of co_evolving people in generation 0, of length at most 1")
        flags.DEFINE_integer("period", 16, "generations in which drifting people turn once round", 2)
    with common.group(helps.SIZES):
        flags.DEFINE_integer("pool", 40_000, "samples a generation, a multiple of K", 2)
        flags.DEFINE_integer("real", 5000, "real points", 8)
    flags.register_validator("beta", lambda beta: beta <= 1, "takes a number in [0, 1], such as --beta=0.3")
    flags.register_validator("weight", _in_the_disk, "takes two numbers of length at most 1, such as --weight=0.2,0.1")


def main() -> None:
    """Plays each kind of people, prints measured beside exact and draws both."""
    if FLAGS.pool % FLAGS.k:
        raise app.UsageError(f"--pool={FLAGS.pool} does not split into groups of --k={FLAGS.k}: take a multiple")
    if FLAGS.temperature and 2 / FLAGS.temperature > population.MAX_RANGE:
        raise app.UsageError(f"--temperature={FLAGS.temperature} is too low for the exact course: take 0 (best-of-K)")
    out, lams = Path(FLAGS.out), np.array([float(lam) for lam in FLAGS.lam])
    cells = grids.grid({"lam": lams.tolist()}, FLAGS.seed + np.arange(FLAGS.seeds))
    for kind in FLAGS.taste:
        sizes = Static(Sizes(FLAGS.model, FLAGS.k, FLAGS.pool, FLAGS.real))
        programs = grids.programs(Partial(make, sizes, *people(kind), FLAGS.temperature), cells)
        settings = common.settings() | {"taste": kind}
        history = drive(
            out / kind,
            settings,
            *programs,
            cells=cells,
            generations=FLAGS.generations,
            every=FLAGS.every,
            keep=FLAGS.keep,
        )
        measured, course = ({name: common.by_row(v, len(lams)) for name, v in history.items()}, exact(kind, lams))
        twins.leave(out / kind, course, twins.over_seeds(cells))
        print(table(kind, measured, course))
        draw(out / kind / "figures", kind, measured, course)
    left = "metrics.csv, exact.csv, checkpoints/ and figures/ (paths.png, curves.png)"
    print(f"results in {out}: {left} of {', '.join(FLAGS.taste)}")


def people(kind: str) -> tuple[Preference, Partial]:
    """The people of `--taste`, and what makes w `[2]` of their state."""
    if kind == "drifting":
        path = Partial(direction_at, float(FLAGS.period))
        return preferences.drifting(_liking, path), path
    weight = jnp.array([float(text) for text in FLAGS.weight])
    return preferences.co_evolving(direction, weight, FLAGS.beta), Partial(_itself)


def make(
    sizes: Static, preference: Preference, taste: Partial, temperature: Array | float, *, lam: Array
) -> grids.Loop:
    """The loop of one cell; all but `sizes` may be traced. It reports w too, which `taste` makes of the state."""
    name, k, pool, num_real = sizes.value
    first, later = (models.build(name, RING, steps) for steps in (models.SIZES[name].first, models.SIZES[name].steps))
    mixing = cr.with_real(lam)
    step = cr.retraining(
        later,
        reward=preference,
        curate=cr.k_way(k, cr.luce(temperature)),
        mixing=mixing,
        pool_size=pool,
        metrics=metrics.join(metrics.reward_moments(), _seen, metrics.proportions(RING.label, len(RING.names))),
    )

    def start(key: PRNGKey) -> LoopState:
        data_key, start_key = jax.random.split(key)
        return cr.start(start_key, first, mixing, RING.draw(data_key, num_real), slot=pool // k, reward=preference)

    return grids.Loop(start, Partial(_with_taste, step, taste))


def exact(kind: str, lams: np.ndarray) -> dict[str, np.ndarray]:
    """The exact twins of the measured metrics, `[lams, generations + 1, ...]`, by a perfect learner on a grid."""
    plane = population.on_grid(RING, lambda x: x[:, 0], 0.0)
    features, modes = direction(plane.x), jax.nn.one_hot(plane.label, len(RING.names))
    _, taste = people(kind)

    def observe(p, state):
        mean, w, share = p @ features, taste(state), p @ modes
        lengths = {"population_length": jnp.sqrt(mean @ mean), "taste_length": jnp.sqrt(w @ w)}
        entropy = -jax.scipy.special.xlogy(share, share).sum()
        return {"reward_mean": mean @ w, "entropy": entropy, "population": mean, "taste": w} | lengths

    def follow(state, kept):
        return state + 1 if kind == "drifting" else theory.follow_the_kept(state, kept, features, FLAGS.beta)

    def course(lam):
        return theory.moving_trajectory(
            plane.p_ref,
            jnp.zeros(()) if kind == "drifting" else jnp.array([float(text) for text in FLAGS.weight]),
            reward=lambda state: features @ taste(state),
            follow=follow,
            k=FLAGS.k,
            lam=lam,
            num=FLAGS.generations,
            temperature=FLAGS.temperature,
            reward_range=math.ceil(2 / FLAGS.temperature) + 1.0 if FLAGS.temperature else 1.0,
            observe=observe,
        )

    return jax.tree.map(np.asarray, jax.jit(lambda lams: jax.lax.map(course, lams))(jnp.asarray(lams, float)))


def table(kind: str, measured: dict[str, np.ndarray], course: dict[str, np.ndarray]) -> str:
    """The mean reward, mean over seeds against exact, and how far the population is from the exact one."""
    shown: Any = np.unique(np.linspace(0, FLAGS.generations, 9).round().astype(int))
    lines = [f"{f'{kind}: E[r]':>24}" + "".join(f"{f't={t}':>8}" for t in shown)]
    for row, lam in enumerate(FLAGS.lam):
        for name, values in (
            ("measured", measured["reward_mean"][row].mean(axis=0)),
            ("exact", course["reward_mean"][row]),
        ):
            lines.append(f"{f'λ={lam} {name}':>24}" + "".join(f"{value:8.3f}" for value in values[shown]))
        for name, what in (("population", "E[φ]"), ("taste", "w")):
            away = np.linalg.norm(measured[name][row] - course[name][row], axis=-1)  # [seeds, generations]
            lines.append(f"{f'{what} to exact':>24}{away.max():8.3f} at most, at t={away.max(axis=0).argmax()}")
    return "\n".join(lines)


def draw(folder: Path, kind: str, measured: dict[str, np.ndarray], course: dict[str, np.ndarray]) -> None:
    """Writes where w and E[φ] go, and the numbers over generations."""
    folder.mkdir(exist_ok=True)
    rows, called = common.row_titles(FLAGS.lam), {"taste w": "taste", "population E[φ]": "population"}
    paths, theirs = ({label: values[name] for label, name in called.items()} for values in (measured, course))
    figures.disk(folder / "paths.png", paths, theirs, rows=rows, axes=("first coordinate", "second coordinate"))
    names = [name for name in AXES if kind == "co_evolving" or name != "taste_length"]  # the others' is 1
    figures.curves(folder / "curves.png", {name: measured[name] for name in names}, course, rows=rows, labels=AXES)


def direction(x: Array) -> Array:
    """φ: `x` `[n, 2]` as unit vectors."""
    return x / jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))


def direction_at(period: Array | float, generation: Array) -> Array:
    """The unit vector `[2]` that turns once round in `period` generations, from (1, 0)."""
    angle = 2 * jnp.pi * generation / period
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def _liking(w: Array) -> Partial:
    return Partial(_reward, w)


def _reward(w: Array, x: Array) -> Array:
    return direction(x) @ w


def _itself(w: Array) -> Array:
    return w


def _seen(record: Generation) -> dict[str, Array]:
    mean = direction(record.pool).mean(axis=0)
    return {"population": mean, "population_length": jnp.sqrt(mean @ mean)}


def _with_taste(step: Step, taste: Partial, key: PRNGKey, state: LoopState) -> tuple[LoopState, dict[str, Array]]:
    following, report = step(key, state)
    w = taste(state.preference)
    return following, report | {"taste": w, "taste_length": jnp.sqrt(w @ w)}


def _in_the_disk(texts: list[str]) -> bool:
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return False
    return len(values) == 2 and math.hypot(*values) <= 1


if __name__ == "__main__":
    define()
    common.launch(main)
