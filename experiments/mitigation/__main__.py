"""Mitigation of the bias that curation brings, on the ring of eight Gaussians: reward gained against entropy lost.

python -m experiments.mitigation

Quotas of the modes, a calibrated classifier, bonuses to rare modes and to unlikely points, weights by inverse
propensity, and the dose of real data that a forecast from generation 0 asks for. All but the last are pure loops.
"""

from pathlib import Path

import jax
import numpy as np
from absl import app, flags

import curated_retraining as cr
from curated_retraining import figures, forecast
from curated_retraining.driver import drive, write
from curated_retraining.grids import Cell
from experiments import common, helps, twins
from experiments.compared import loops, numbers, ring
from experiments.gmm import RING
from experiments.loops import require_groups
from experiments.mitigation import judge, methods
from experiments.mitigation.methods import Method, Task

FLAGS = flags.FLAGS
NONE = "no mitigation"
LOST = "entropy of the modes' shares lost, of generation 0's"
SAMPLES = 2000  # of generation 0 that a forecast is made from


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    loops.define("mitigation", generations=10)
    FLAGS.set_default("lam", ["inf"])
    FLAGS.set_default("gamma", 0.5)
    FLAGS.set_default("bonus", 2.0)
    with common.group(helps.PLAYED):
        common.number("wrong", 0.5, "share of people's labels that are drawn at random, in (0, 1)")
        common.number("sharpness", 4.0, "how much too sure the classifier is of itself: the temperature it needs")
        loops.numbers("quotas", ["0.125", "0.25", "0.5"], "shares of the liked mode, in (0, 1)", _is_share, "0.125,0.5")
        loops.numbers("mode_bonuses", ["0.5", "1", "2"], "c of −c log P(mode), numbers > 0", lambda c: c > 0, "0.5,1")
        loops.numbers("point_bonuses", ["0.25", "0.5", "1"], "c of −c log p(x), numbers > 0", lambda c: c > 0, "0.25,1")
        loops.numbers("exponents", ["0.25", "0.5", "0.75"], "powers of 1/P(chosen), in (0, 1)", _is_share, "0.5")
        loops.numbers(
            "floors", ["0.5", "0.7", "0.9"], "shares of the entropy to keep by real data, in (0, 1)", _is_share, "0.5"
        )
    flags.register_validator("lam", lambda texts: len(texts) == 1, "takes one number or inf here, such as --lam=inf")
    flags.register_validator("wrong", _is_share, "takes a share in (0, 1), such as --wrong=0.5")
    flags.register_validator("sharpness", lambda s: s > 0, "takes a number > 0, such as --sharpness=4")
    flags.register_validator(
        "temperature", lambda t: t > 0, "takes a number > 0 here: certain choices cannot be undone"
    )


def main() -> None:
    """Plays every mitigation at every strength and leaves numbers, a table and the figure in `--out`."""
    require_groups(FLAGS.pool)
    out, seeds = Path(FLAGS.out), common.seeds()
    plane = ring.real(ring.liking(FLAGS.gamma, FLAGS.bonus))
    loops.required_range(plane)
    try:
        known = judge.calibrated(FLAGS.wrong, FLAGS.sharpness)
    except ValueError as error:
        raise app.UsageError(f"--sharpness={FLAGS.sharpness} with --wrong={FLAGS.wrong}: {error}") from error
    print(f"classifier: calibration error {known.errors[0]:.3f}, {known.errors[1]:.3f} at T = {known.temperature:.2f}")
    task = Task(known.classifier, FLAGS.gamma, FLAGS.bonus, FLAGS.k, FLAGS.temperature, FLAGS.pool, FLAGS.real)
    every = _methods(known.temperature)
    cells = [_cell(method, task, seed) for method in every for seed in seeds]
    columns = [
        {"family": method.family, "strength": method.strength, "lam": f"{cell['lam']:.6g}", "seed": cell["seed"]}
        for method, cell in zip([method for method in every for _ in seeds], cells, strict=True)
    ]
    begin, advance = methods.programs(task, cells, len(seeds))
    history = drive(
        out,
        common.settings(),
        begin,
        advance,
        cells=columns,
        generations=FLAGS.generations,
        every=FLAGS.every,
        keep=FLAGS.keep,
    )
    sd = float(np.sqrt(plane.p_ref @ (plane.reward - plane.p_ref @ plane.reward) ** 2))
    played = {name: np.moveaxis(values, 0, 1) for name, values in history.items()}
    measured = _by_method(numbers.summary(played, sd), len(seeds))
    course = methods.exact(plane, task, cells, FLAGS.generations)
    twins.leave(out, course, columns)
    exact = _by_method(numbers.summary(course, sd), len(seeds))
    _report(out, every, measured, {name: values.mean(axis=1) for name, values in exact.items()})


def _methods(temperature: float) -> list[Method]:
    """Every mitigation at every strength, no mitigation first."""

    def family(name, texts, **changes):
        return [Method(name, text, {key: of(float(text)) for key, of in changes.items()}) for text in texts]

    return [
        Method(NONE, "", {}),
        Method("calibrated classifier", f"T = {temperature:.2f}", {"trust": temperature}),
        *family("quota (share of the liked mode)", FLAGS.quotas, liked_share=float, balance=lambda _: 1.0),
        *family("bonus to rare modes (c)", FLAGS.mode_bonuses, mode_bonus=float),
        *family("bonus to unlikely points (c)", FLAGS.point_bonuses, point_bonus=float),
        *family("inverse propensity (exponent)", FLAGS.exponents, exponent=float),
        *family("real data (forecast for a floor)", FLAGS.floors, floor=float),
    ]


def _cell(method: Method, task: Task, seed: int) -> Cell:
    """What `method` sets for a seed; a floor becomes the λ that a forecast from that seed's samples asks for."""
    changes = dict(method.changes)
    if (floor := changes.pop("floor", None)) is not None:
        x = cr.ring(jax.random.key(seed), SAMPLES).x
        needed = forecast.required_real_share(
            task.judged(1.0)(x),
            RING.label(x),
            entropy_floor=floor * np.log(ring.MODES),
            k=task.k,
            generations=FLAGS.generations,
            temperature=task.temperature,
            classes=ring.MODES,
            reward_range=float(np.ceil((task.bonus + 6 * task.gamma) / task.temperature)),
        )
        if not np.isfinite(needed.share):
            raise app.UsageError(f"--floors={floor:g} is more than even real data alone have: take less")
        changes["lam"] = float(needed.lam)
    return methods.PLAIN | {"lam": float(FLAGS.lam[0])} | changes | {"seed": seed}


def _by_method(found: numbers.Found, seeds: int) -> numbers.Found:
    """`[methods × seeds]` as `[methods, seeds]`, with the entropy lost in place of what is kept."""
    found = {name: values.reshape(-1, seeds) for name, values in found.items()}
    lost = {"gain": found["gain"], "lost": 1 - found["entropy"]}
    return lost | {name: values for name, values in found.items() if name not in ("gain", "entropy", "moving")}


def _report(out: Path, every: list[Method], measured: numbers.Found, exact: numbers.Found) -> None:
    names = [f"{method.family} {method.strength}".strip() for method in every]
    print(numbers.table(names, measured, exact, FLAGS.generations))
    print("\n".join(f"{name}: {what}" for name, what in (numbers.COLUMNS | {"lost": LOST}).items() if name in measured))
    write(out / "mitigation.csv", numbers.to_csv(names, measured, exact))
    (out / "figures").mkdir(exist_ok=True)
    rows = {family: [i for i, method in enumerate(every) if method.family == family] for family in families(every)}
    figures.tradeoff(
        out / "figures/tradeoff.png",
        {family: (measured["lost"][index], measured["gain"][index]) for family, index in rows.items()},
        {family: (exact["lost"][index], exact["gain"][index]) for family, index in rows.items()},
        axes=(LOST, numbers.COLUMNS["gain"]),
        strengths={family: [every[i].strength for i in index] for family, index in rows.items()},
    )
    print(f"results in {out}: metrics.csv, mitigation.csv, checkpoints/ and figures/tradeoff.png")


def families(every: list[Method]) -> list[str]:
    """Their names, in order."""
    return list(dict.fromkeys(method.family for method in every))


def _is_share(value: float) -> bool:
    return 0 < value < 1


if __name__ == "__main__":
    define()
    common.launch(main)
