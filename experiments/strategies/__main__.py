"""Strategies of curation compared on pools of one size from the ring of eight Gaussians, alone and with real data.

python -m experiments.strategies

K-wise choice for several K and ∞, best-of-K, the top fraction, a threshold, the likeliest by the model's own density
and a crowd that disagrees, by a mixture of Gaussians; then, by a diffusion model, which has no density, K-wise choice
again and the points of least denoising loss. λ = #curated / #real, ∞ is the pure loop.
"""

from pathlib import Path

import numpy as np
from absl import app, flags

from curated_retraining import figures
from curated_retraining.driver import History, write
from experiments import common, helps
from experiments.compared import loops, numbers, ring
from experiments.plane.population import Population
from experiments.strategies import play
from experiments.strategies.rules import by_itself, rules

FLAGS = flags.FLAGS
LABELS = {
    "reward_mean": "reward E[r]",
    "entropy": "entropy (nats)",
    "minority": "minority mass",
    "spread": "spread in modes",
}


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    loops.define("strategies", generations=10)
    with common.group(helps.PLAYED):
        loops.numbers(
            "sizes",
            ["2", "4", "8", "16"],
            "K of K-wise choice, whole numbers >= 2",
            lambda k: k >= 2 and k % 1 == 0,
            "2,4",
        )
        common.number("crowd", 0.5, "share of the crowd that likes mode 0; the others like the mode opposite")
        flags.DEFINE_bool("denoising", True, "whether a diffusion model is curated too, by its denoising loss")
    flags.register_validator("crowd", lambda crowd: crowd <= 1, "takes a number in [0, 1], such as --crowd=0.5")


def main() -> None:
    """Plays every strategy at every λ and leaves numbers, tables and the figure in `--out`."""
    out, sizes = Path(FLAGS.out), [int(float(text)) for text in FLAGS.sizes]
    for k in (*sizes, FLAGS.k):
        if FLAGS.pool % k:
            raise app.UsageError(f"--pool={FLAGS.pool} does not split into groups of {k}: take a multiple of {k}")
    plane = ring.real(ring.liking(FLAGS.gamma, FLAGS.bonus))
    spread = loops.required_range(plane)
    task = play.Task(
        FLAGS.gamma,
        FLAGS.bonus,
        FLAGS.pool,
        FLAGS.real,
        FLAGS.lam,
        FLAGS.generations,
        common.seeds(),
        FLAGS.every,
        FLAGS.keep,
    )
    of_mixture = rules(
        sizes, FLAGS.k, temperature=FLAGS.temperature, crowd=FLAGS.crowd, least=_reached_by(plane, 1 / FLAGS.k),
        reward_range=float(np.ceil(spread) + 1),
    )  # fmt: skip
    settings, every = common.settings(), {rule.name: rule for rule in of_mixture}
    measured = play.play(out, settings, task, play.mixture(), of_mixture)
    exact = play.exact(plane, task, of_mixture)
    play.leave(out, exact, task, of_mixture)
    names = list(every)
    if FLAGS.denoising:
        alike = every.get(f"K = {FLAGS.k}", of_mixture[1])
        of_diffusion = [alike, by_itself(f"least denoising loss 1/{FLAGS.k}", FLAGS.k)]
        theirs = play.play(out / "ddpm", settings, task, play.diffusion(), of_diffusion)
        measured = {name: np.concatenate([values, theirs[name]], axis=1) for name, values in measured.items()}
        theirs = play.exact(plane, task, of_diffusion)
        play.leave(out / "ddpm", theirs, task, of_diffusion)
        exact = {name: np.concatenate([values, theirs[name]], axis=1) for name, values in exact.items()}
        names += [f"{rule.name} (ddpm)" for rule in of_diffusion]
    _report(out, measured, exact, names, float(np.sqrt(plane.p_ref @ (plane.reward - plane.p_ref @ plane.reward) ** 2)))


def _report(out: Path, measured: History, exact: History, names: list[str], sd: float) -> None:
    for row, title in enumerate(common.row_titles(FLAGS.lam)):
        ours, theirs = (
            numbers.summary({name: v[row] for name, v in courses.items()}, sd) for courses in (measured, exact)
        )
        print(f"{title}, after {FLAGS.generations} generations")
        print(numbers.table(names, ours, theirs, FLAGS.generations))
        write(out / f"strategies_lam={FLAGS.lam[row]}.csv", numbers.to_csv(names, ours, theirs))
    print("\n".join(f"{name}: {what}" for name, what in numbers.COLUMNS.items()))
    (out / "figures").mkdir(exist_ok=True)
    panels = [(name, row) for row in range(len(FLAGS.lam)) for name in LABELS]
    for courses in (measured, exact):
        courses["minority"] = courses["share"][..., ring.LEAST_LIKED].sum(axis=-1)
    figures.curves(
        out / "figures/strategies.png",
        {f"{name} {row}": measured[name][row] for name, row in panels},
        {f"{name} {row}": exact[name][row] for name, row in panels},
        rows=names,
        labels={f"{name} {row}": f"{LABELS[name]}, {_told(float(FLAGS.lam[row]))}" for name, row in panels},
    )
    print(
        f"results in {out}: metrics.csv, ddpm/metrics.csv, strategies_lam=*.csv, checkpoints/, figures/strategies.png"
    )


def _told(lam: float) -> str:
    """Along a vertical axis ∞ would look like an 8."""
    return "pure loop" if lam == float("inf") else f"λ = {lam:g}"


def _reached_by(plane: Population, share: float) -> float:
    """The reward that at least `share` of the real data reach."""
    order = np.argsort(-np.asarray(plane.reward))
    place = np.searchsorted(np.cumsum(np.asarray(plane.p_ref)[order]), share)
    return float(plane.reward[order[place]])


if __name__ == "__main__":
    define()
    common.launch(main)
