"""The experiment with adversaries from its flags to its folder."""

from pathlib import Path

from absl import flags

from experiments import common, helps, twins
from experiments.adversary import annotators, attacked, report, world

FLAGS = flags.FLAGS


def define() -> None:
    """The flags; a wrong value is refused before anything runs."""
    with common.group(helps.PLAYED):
        flags.DEFINE_list("shares", ["0", "0.25", "0.5", "0.75", "1"], "shares of adversaries, in [0, 1]")
        flags.DEFINE_list("budgets", ["0", "0.05", "0.1", "0.2", "0.3", "0.4"], "shares of labels flipped, in [0, 1]")
    with common.group(helps.LOOP):
        common.count("k", 4, common.K, 2)
    with common.group(helps.PLAYED):
        common.count("comparisons", 1000, "comparisons that a reward is learnt from", 1)
        common.count("horizon", 1, "generations after which the attacker wants E[exp r] low", 1)
        common.number("gamma", 2.0, "γ, the scale of the genuine reward, which is γ cos(angle) on the modes")
    with common.group(helps.LOOP):
        common.count("generations", 8, "retrainings after generation 0", most=common.SEVERAL)
    with common.group(helps.SIZES):
        common.count("curated", 4000, "points chosen a generation of a pool of K times as many", 2)
        common.count("real", 5000, "real points", 2)
    common.repetitions()
    common.folder("adversary")
    flags.register_validator("gamma", lambda g: 0 < g < 40, "takes a number > 0 and < 40, such as --gamma=2")
    for name in ("shares", "budgets"):
        flags.register_validator(name, _are_shares, f"takes different numbers in [0, 1], such as --{name}=0,0.5")


def main() -> None:
    """Plays both parts and leaves numbers, tables and figures in `--out`."""
    out = Path(FLAGS.out)
    shares, budgets = ([float(text) for text in texts] for texts in (FLAGS.shares, FLAGS.budgets))
    plane = world.on_grid(FLAGS.gamma)
    played = {"gamma": FLAGS.gamma, "curated": FLAGS.curated, "real": FLAGS.real}

    found = annotators.play(out / "annotators", plane, shares, k=FLAGS.k, **played)
    exact = annotators.courses(plane, shares, k=FLAGS.k, generations=FLAGS.generations)
    rows = [{"adversary": kind, "share": share} for kind, share in annotators.cells(shares)]
    twins.leave(out / "annotators", exact, rows)
    people = found, {name: values[:, None] for name, values in exact.items()}

    weights = attacked.learn(
        budgets, gamma=FLAGS.gamma, comparisons=FLAGS.comparisons, horizon=FLAGS.horizon, seeds=common.seeds()
    )
    found = attacked.play(out / "attacked", weights, budgets, **played)
    exact = attacked.courses(plane, weights, generations=FLAGS.generations)
    cells = [(kind, budget, seed) for kind, budget in attacked.cells(budgets) for seed in common.seeds()]
    twins.leave(out / "attacked", exact, [{"attack": kind, "budget": b, "seed": seed} for kind, b, seed in cells])
    by_seed = {name: values.reshape(-1, FLAGS.seeds, values.shape[1]) for name, values in exact.items()}
    report.write(out, people, (found, by_seed), shares, budgets, k=FLAGS.k)


def _are_shares(texts: list[str]) -> bool:
    shares = common.distinct(texts)
    return bool(shares) and all(0 <= share <= 1 for share in shares)
