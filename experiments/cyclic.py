"""Preferences in a circle: rock, paper and scissors as the three modes of a ring, each preferred to the one before it.

python -m experiments.cyclic

No reward makes such choices. `--strength` a is how sure they are: paper is preferred to rock with probability
(1 + a) / 2. What happens within a mode does not matter, so the modes' shares have an exact course, by enumeration of
the groups; what `finite` adds to it is sampling, and `gmm` a learner of points in the plane. λ = #curated / #real.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.tree_util import Partial

import curated_retraining as cr
from curated_retraining import data, figures, grids, metrics, theory
from curated_retraining.types import Array, Dataset, Model, PRNGKey, Static
from experiments import common, devices, helps, loops, twins

FLAGS = flags.FLAGS
NAMES = ("rock", "paper", "scissors")
MODELS = ("finite", "gmm")
LARGEST = 32  # K up to which the groups of three kinds are few


class Sizes(NamedTuple):
    """What belongs to the program."""

    model: str
    k: int
    pool: int
    real: int


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    common.loop("cyclic", generations=30, k=2, lam=("inf", "10", "1"), temperature=None)
    common.repetitions()
    with common.group(helps.PLAYED):
        common.several("model", MODELS, "what is retrained")
        common.number(
            "strength", 1.0, "a in [0, 1]: each is preferred to the one before it with probability (1 + a) / 2"
        )
        flags.DEFINE_list("shares", ["0.5", "0.3", "0.2"], "of rock, paper and scissors in the real data")
    with common.group(helps.SIZES):
        common.count("pool", 40_000, "samples a generation, a multiple of K", 2)
        common.count("real", 6000, "real points", 3)
    devices.define()
    flags.register_validator("k", lambda k: k <= LARGEST, f"takes 2 to {LARGEST}: all groups are enumerated")
    flags.register_validator("strength", lambda a: a <= 1, "takes a number in [0, 1], such as --strength=1")
    flags.register_validator("shares", _are_shares, "takes three numbers > 0 that sum to 1: --shares=0.5,0.3,0.2")


def main() -> None:
    """Plays each model, prints measured beside exact and draws the courses."""
    loops.require_groups(FLAGS.pool)
    out, lams = Path(FLAGS.out), [float(lam) for lam in FLAGS.lam]
    cells = grids.grid({"lam": lams}, common.seeds())
    mesh = devices.mesh(len(cells))
    shares = jnp.array([float(share) for share in FLAGS.shares])
    course = exact(shares, FLAGS.strength, np.array(lams))
    measured = {}
    for model in FLAGS.model:
        sizes = Static(Sizes(model, FLAGS.k, FLAGS.pool, FLAGS.real))
        play = Partial(make, sizes, shares, FLAGS.strength)
        measured[model] = loops.driven(out / model, play, cells, mesh=mesh, model=model)["share"]
        twins.leave(out / model, {"share": course}, twins.over_seeds(cells))
    for model, share in measured.items():
        print(table(model, share, course, FLAGS.lam))
    for model, share in measured.items():
        (out / model / "figures").mkdir(exist_ok=True)
        path = out / model / "figures" / "ternary.png"
        figures.ternary(
            path, share, course, rows=common.row_titles(FLAGS.lam), names=NAMES, theory=f"exact, K = {FLAGS.k}"
        )
    print(f"results in {out}: metrics.csv, exact.csv, checkpoints/ and figures/ternary.png of {', '.join(measured)}")


def make(sizes: Static, shares: Array, strength: Array | float, *, lam: Array) -> grids.Loop:
    """The loop of one cell; all but `sizes` may be traced."""
    name, k, pool, num_real = sizes.value
    model, mixing = build(name), cr.with_real(lam)

    def draw(key: PRNGKey) -> Dataset:
        points = cr.ring(key, num_real, modes=len(NAMES)).x
        label = jax.nn.one_hot(kind(points), len(NAMES))
        return cr.Dataset(points, label @ (shares / label.sum(axis=0)))  # the modes' shares are exact

    return loops.loop(
        model,
        model,
        draw,
        reward=_unread,
        curate=cr.k_way(k, cr.pairwise(Partial(duel, strength))),
        mixing=mixing,
        pool=pool,
        slot=pool // k,
        metrics=metrics.proportions(kind, len(NAMES)),
    )


def build(name: str) -> Model:
    """`finite` on the centres of the modes, or a mixture of three Gaussians."""
    return cr.finite(data.ring_means(len(NAMES))) if name == "finite" else cr.gmm(components=len(NAMES), steps=10)


def kind(x: Array) -> Array:
    """Which mode each of `x` `[n, 2]` belongs to, `[n]`: all centres are equally far from the origin."""
    return jnp.argmax(x @ data.ring_means(len(NAMES)).T, axis=-1)


def duel(strength: Array | float, x: Array, y: Array) -> Array:
    """The probability that point `x` is preferred to `y`, both `[2]`."""
    return odds(strength, *kind(jnp.stack([x, y])))


def odds(strength: Array | float, i: Array, j: Array) -> Array:
    """The probability that kind `i` is preferred to `j`."""
    lead = jnp.array([0.0, 1.0, -1.0])[(i - j) % len(NAMES)]
    return (1 + strength * lead) / 2


def exact(shares: Array, strength: float, lams: np.ndarray) -> np.ndarray:
    """The exact shares for each λ, `[lams, generations + 1, 3]`."""
    i, j = np.indices((len(NAMES),) * 2)
    preference = odds(strength, jnp.asarray(i), jnp.asarray(j))

    def course(lam):
        return theory.pairwise_trajectory(shares, preference, k=FLAGS.k, lam=lam, num=FLAGS.generations)

    return np.asarray(jax.jit(jax.vmap(course))(jnp.asarray(lams, float)))


def table(model: str, share: np.ndarray, course: np.ndarray, lams: list[str]) -> str:
    """The share of rock, mean over seeds against exact, and how far shares `[lams, seeds, generations, 3]` go."""
    shown: Any = np.unique(np.linspace(0, course.shape[1] - 1, 11).round().astype(int))
    late = course.shape[1] // 2
    lines = [f"{f'{model}: share of rock':>24}" + "".join(f"{f't={t}':>8}" for t in shown)]
    for lam, runs, predicted in zip(lams, share, course, strict=True):
        for name, values in (("measured", runs[..., 0].mean(axis=0)), ("exact", predicted[:, 0])):
            lines.append(f"{f'λ={lam} {name}':>24}" + "".join(f"{value:8.3f}" for value in values[shown]))
        away = np.abs(runs - predicted)
        swing, theirs = (np.ptp(values[..., late:, 0], axis=-1) for values in (runs, predicted))
        worst = int(away.max(axis=(0, 2)).argmax())
        lines.append(f"{'largest |difference|':>24}{away.max():8.3f} of any share and seed, at t={worst}")
        ranges = f"{swing.min():.3f} to {swing.max():.3f} by seed, exact {theirs:.3f}"
        lines.append(f"{'swing of rock':>24} from t={late} on: {ranges}")
        lost, least = (runs[:, -1] == 0).any(axis=-1).sum(), predicted.min()
        lines.append(f"{'lost a kind':>24} {lost} of {len(runs)} seeds, exact smallest share {least:.1e}")
    return "\n".join(lines)


def _unread(x: Array) -> Array:
    return jnp.zeros(x.shape[0])


def _are_shares(texts: list[str]) -> bool:
    values = common.floats(texts)
    return len(values) == len(NAMES) and all(value > 0 for value in values) and abs(sum(values) - 1) < 1e-6


if __name__ == "__main__":
    define()
    common.launch(main)
