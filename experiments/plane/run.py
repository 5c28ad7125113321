"""An experiment in the plane from its flags to its folder."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.tree_util import Partial

from curated_retraining import grids, metrics
from curated_retraining.driver import History, drive
from curated_retraining.types import Metrics, Model, Reward, Static, lift, lift_all
from experiments import common, devices, helps
from experiments.loops import require_groups
from experiments.plane import loops, models, population, report, rewards
from experiments.plane.population import Population
from experiments.plane.target import Target

FLAGS = flags.FLAGS
MOST = 2**31 - 1  # points are counted by int32


def define(name: str, *, generations: int, several: list[str] | None = None) -> None:
    """The flags of an experiment in the plane; `several` are the default models of one that plays them in turn."""
    common.define(name, generations=generations, rewards=list(rewards.GAMMA))
    devices.define()
    with common.group(helps.PLAYED):
        if several is None:
            flags.DEFINE_enum("model", "ddpm", list(models.SIZES), "what is retrained")
        else:
            common.several("model", models.SIZES, "what is retrained", several)
    with common.group(helps.SIZES):
        common.count("pool", None, "samples a generation, a multiple of K (by default as suits the model)", 2)
        common.count("real", 5000, "real points", 2)
        common.count("steps", None, "optimiser or EM steps of a refit (by default as suits the model)", 1)
        common.count("first_steps", None, "the same for generation 0", 1)
    with common.group(helps.PLAYED):
        common.number("gamma", None, "γ, the scale of the reward (by default 10; 1 for log_density)")
        common.number(
            "r_min", None, "the radius within which reward `distance` is at its best (by default as suits the data)"
        )
        flags.DEFINE_list("target", None, "x,y: the point that reward `distance` likes (by default as suits the data)")
        common.count("label", 0, "the class that reward `classifier` likes", 0)
    flags.register_validator("target", common.is_point, "takes two finite numbers, such as --target=2,0")


class Asked(NamedTuple):
    """What the flags say of a run."""

    settings: dict[str, Any]
    reward: Reward
    plane: Population


class Played(NamedTuple):
    """A finished run: cells are every λ with every seed."""

    history: History  # [generations + 1, cells, ...]
    reward: Reward
    plane: Population
    settings: dict[str, Any]


def main(target: Target) -> None:
    """Runs what the flags say and leaves numbers, table and figures in `--out`."""
    played = play(target, FLAGS.model, Path(FLAGS.out), snapshot=2000)
    exact = population.course(
        played.plane,
        k=FLAGS.k,
        lams=np.array([float(text) for text in FLAGS.lam]),
        temperature=FLAGS.temperature,
        generations=FLAGS.generations,
    )
    report.write(Path(FLAGS.out), played.history, exact, played.plane, target, lams=FLAGS.lam, k=FLAGS.k)


def asked(target: Target, model: str) -> Asked:
    """What the flags say of a run of `model`, refused where that cannot be played."""
    settings = _settings(target, model)
    reward = rewards.build(
        FLAGS.reward,
        target,
        gamma=settings["gamma"],
        r_min=settings["r_min"],
        liked=jnp.array(settings["target"]),
        label=FLAGS.label,
    )
    plane = population.on_grid(target, reward, rewards.EDGE[FLAGS.reward] * settings["gamma"])
    population.require_range(plane, settings["gamma"], FLAGS.temperature)
    return Asked(settings, reward, plane)


def play(target: Target, model: str, out: Path, *, snapshot: int) -> Played:
    """Drives the loop of `model` by the other flags in the folder `out`; keeps `snapshot` points of each pool."""
    settings, reward, plane = asked(target, model)
    mesh = devices.mesh(len(FLAGS.lam) * FLAGS.seeds)
    lams = np.array([float(text) for text in FLAGS.lam])
    seeds = common.seeds()
    cells = [{"lam": lam, "seed": seed} for lam in FLAGS.lam for seed in seeds]
    first = models.build(model, target, settings["first_steps"])
    later = models.build(model, target, settings["steps"])
    sizes = Static((FLAGS.real, settings["pool"], FLAGS.k))
    grid = (jnp.asarray(lams, jnp.float32), jnp.asarray(seeds))
    observe = _observed(target, plane, model, later, min(snapshot, settings["pool"]))
    history = drive(
        out,
        settings,
        Partial(loops.generation_zero, Static(target), sizes, lift_all(first), grid, Static(mesh)),
        Partial(loops.generation, sizes, lift_all(later), lift(reward), observe, FLAGS.temperature, grid, Static(mesh)),
        cells=cells,
        generations=FLAGS.generations,
        every=FLAGS.every,
        keep=FLAGS.keep,
        sharding=None if mesh is None else grids.over(mesh),
    )
    return Played(history, reward, plane, settings)


def _settings(target: Target, model: str) -> dict[str, Any]:
    """The flags that the results depend on, with the defaults that depend on others filled in."""
    sizes = models.SIZES[model]
    pool = FLAGS.pool or FLAGS.k * sizes.curated
    require_groups(pool)
    if max(pool, FLAGS.real) > MOST:
        raise app.UsageError(
            f"--pool={pool}, --real={FLAGS.real} are more points than are counted here: {MOST} at most"
        )
    if FLAGS.label >= len(target.names):
        raise app.UsageError(f"--label={FLAGS.label} is not a class: take 0 to {len(target.names) - 1}")
    return common.settings() | {
        "model": model,
        "pool": pool,
        "steps": FLAGS.steps or sizes.steps,
        "first_steps": FLAGS.first_steps or sizes.first,
        "gamma": rewards.GAMMA[FLAGS.reward] if FLAGS.gamma is None else FLAGS.gamma,
        "r_min": target.r_min if FLAGS.r_min is None else FLAGS.r_min,
        "target": [float(text) for text in FLAGS.target or target.liked],
    }


def _observed(target: Target, plane: Population, name: str, model: Model, snapshot: int) -> Metrics:
    direction_key, reference_key = jax.random.split(jax.random.key(1))
    draw = jax.jit(target.draw, static_argnums=1)
    return metrics.join(
        metrics.reward_moments(),
        metrics.reward_quantiles(),
        metrics.top_mass(plane.top_level),
        metrics.proportions(target.label, len(target.names)),
        metrics.sliced_wasserstein(direction_key, draw(reference_key, 4096).x, 16, points=4096),
        models.kl(name, model, plane, target),
        metrics.snapshot(snapshot),
    )
