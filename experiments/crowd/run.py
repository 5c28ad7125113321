"""The loops of crowds from their flags to their folder, and their exact courses."""

import functools
import math
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.sharding import Mesh
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import data, grids, metrics, theory
from curated_retraining.types import Array, Generation, Reward
from experiments import common, devices, helps, loops, twins
from experiments.crowd import report
from experiments.plane import population
from experiments.plane.target import Target

FLAGS = flags.FLAGS
MODES, RADIUS = 10, 3.0
LIKED = (0, 4, 8, 2, 6)  # by type: no two are neighbours
RING = Target(
    draw=functools.partial(data.ring, modes=MODES, radius=RADIUS),
    log_density=functools.partial(data.ring_log_density, modes=MODES, radius=RADIUS),
    label=functools.partial(data.nearest_mode, modes=MODES, radius=RADIUS),
    names=tuple(f"mode {mode}" for mode in range(MODES)),
    extent=(-4.5, 4.5, -4.5, 4.5),
    liked=(RADIUS, 0.0),
    r_min=1.0,
)


class Crowd(NamedTuple):
    """Who chooses."""

    name: str  # in tables and figures
    fractions: tuple[float, ...]  # the share of each type


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    devices.define()
    with common.group(helps.PLAYED):
        flags.DEFINE_list("q", ["0.1", "0.2", "0.3", "0.4", "0.5"], "shares of the second of two types, in (0, 1)")
        common.count("rewards", 5, "M, the most types in equal shares", 1, len(LIKED))
    with common.group(helps.LOOP):
        flags.DEFINE_list("k", ["2", "4", "inf"], "K, sizes of the groups that an annotator chooses one sample from")
    with common.group(helps.PLAYED):
        common.number("gamma", 5.0, "γ of the rewards −γ max(0, ‖x − mode‖ − 1)")
    with common.group(helps.LOOP):
        common.number("temperature", 1.0, "temperature of every annotator's choice")
        common.number("lapse", 0.0, "with what probability an annotator chooses at random")
        common.count("generations", 12, "retrainings after generation 0", most=common.SEVERAL)
    with common.group(helps.SIZES):
        common.count("curated", 4000, "curated points a generation; the pool is K times as many, 4 times at inf", 2)
        common.count("real", 5000, "real points", 2)
    common.repetitions()
    common.folder("crowd")
    flags.register_validator("q", _are_shares, "takes different numbers between 0 and 1, such as --q=0.1,0.5")
    flags.register_validator("k", _are_sizes, "takes different whole numbers >= 2 or inf, such as --k=2,inf")
    flags.register_validator("temperature", lambda t: t > 0, "takes a number > 0: W needs exp(r / τ)")
    flags.register_validator("lapse", lambda e: e < 1, "takes a number in [0, 1), such as --lapse=0.1")


def main() -> None:
    """Plays every crowd at every K and leaves numbers, tables and figures in `--out`."""
    out, crowds = Path(FLAGS.out), who()
    mesh = devices.mesh(len(crowds) * FLAGS.seeds)
    modes = data.ring_means(MODES, RADIUS)[jnp.array(LIKED)]
    rewards = cr.stack(*(cr.distance(mode, r_min=RING.r_min, gamma=FLAGS.gamma) for mode in modes))
    exact = courses(rewards, crowds)
    measured = {k: play(out / f"k={k}", k, rewards, crowds, mesh) for k in FLAGS.k}
    for k, course in exact.items():
        twins.leave(out / f"k={k}", course, [{"k": k, "crowd": crowd.name} for crowd in crowds])
    report.write(out, [float(q) for q in FLAGS.q], measured, exact)


def who() -> list[Crowd]:
    """The crowds that the flags ask for."""
    rest = (0.0,) * (len(LIKED) - 2)
    pairs = [Crowd(f"q={q}", (1 - float(q), float(q), *rest)) for q in FLAGS.q]
    equal = [Crowd(f"M={m}", (1 / m,) * m + (0.0,) * (len(LIKED) - m)) for m in range(1, FLAGS.rewards + 1)]
    return [*pairs, *equal]


def play(folder: Path, k: str, rewards: Reward, crowds: list[Crowd], mesh: Mesh | None) -> dict[str, np.ndarray]:
    """The measured courses of all crowds at one K, `[crowds, seeds, generations + 1, ...]` a metric."""
    size = 4 if k == "inf" else int(k)
    first, later = (cr.gmm(components=2 * MODES, steps=steps) for steps in (60, 10))

    def make(fractions):
        people = (fractions, FLAGS.temperature, FLAGS.lapse)
        return loops.loop(
            first,
            later,
            lambda key: RING.draw(key, FLAGS.real),
            reward=rewards,
            curate=cr.crowd_tilt(*people) if k == "inf" else cr.k_way(size, cr.crowd(*people)),
            mixing=cr.replace(),
            pool=size * FLAGS.curated,
            slot=FLAGS.curated,
            metrics=metrics.join(metrics.proportions(RING.label, MODES), Partial(_of_crowd, fractions)),
        )

    cells = grids.grid({"fractions": [crowd.fractions for crowd in crowds]}, common.seeds())
    columns = grids.grid({"k": [k], "crowd": [crowd.name for crowd in crowds]}, common.seeds())
    return loops.driven(folder, make, cells, columns=columns, mesh=mesh)


def courses(rewards: Reward, crowds: list[Crowd]) -> dict[str, dict[str, np.ndarray]]:
    """The exact courses by K, `[crowds, generations + 1, ...]` a metric."""
    plane = population.on_grid(RING, lambda x: rewards(x)[:, 0], 0.0)
    r = jax.jit(lambda rewards, x: rewards(x).T)(rewards, plane.x)  # [types, g]
    of_types = [plane._replace(reward=row) for row in r]
    for one in of_types:
        population.require_range(one, FLAGS.gamma, FLAGS.temperature)
    spread = max(one.reward_range(FLAGS.temperature) for one in of_types)
    one_hot = jax.nn.one_hot(plane.label, MODES)

    def of(k, fractions):
        def observe(p):
            share = p @ one_hot
            return {
                "share": share,
                "entropy": metrics.entropy(share),
                "basin": share[jnp.array(LIKED)],
                "potential": _w(fractions, r, p),
            }

        operator = theory.crowd_operator(
            r, fractions, temperature=FLAGS.temperature, lapse=FLAGS.lapse, reward_range=math.ceil(spread) + 1.0
        )
        return theory.course(lambda p: operator(p, k), plane.p_ref, lam=jnp.inf, num=FLAGS.generations, observe=observe)

    fractions = jnp.array([crowd.fractions for crowd in crowds])
    of_all = jax.jit(lambda k: jax.lax.map(lambda row: of(k, row), fractions))
    return {k: jax.tree.map(np.asarray, of_all(float(k))) for k in FLAGS.k}


def _of_crowd(fractions, record: Generation):
    n, label = record.pool.shape[0], RING.label(record.pool)
    basin = (label[:, None] == jnp.array([LIKED])).mean(axis=0)
    return {"basin": basin, "potential": _w(fractions, record.reward.T, jnp.full(n, 1 / n))}


def _w(fractions: Array, r: Array, p: Array) -> Array:
    """W by the annotators' own temperatures; those who lapse add nothing to it."""
    return theory.crowd_potential(p, r / FLAGS.temperature, fractions * (1 - FLAGS.lapse))


def _are_shares(texts: list[str]) -> bool:
    shares = common.distinct(texts)
    return bool(shares) and all(0 < share < 1 for share in shares)


def _are_sizes(texts: list[str]) -> bool:
    return bool(common.distinct(texts)) and all(text == "inf" or common.is_whole(text, 2) for text in texts)
