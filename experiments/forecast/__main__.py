"""What people's choices will do to a model, from the rewards and labels of its own samples.

python -m experiments.forecast --rewards=r.npy --labels=y.npy --k=4 --lam=0.5

Nothing is trained. Samples of your model, what annotators would give each and which class it is of are enough to follow
a learner without fault through generations of curation: mean reward, class shares, how long a class lasts and who wins,
with bands by resampling the samples. The first line of a .csv file names its columns, unless it holds a number: then it
is data.
"""

import hashlib
import math
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from curated_retraining import forecast
from curated_retraining.driver import claimed, write
from curated_retraining.forecast import Forecast
from experiments import common, helps
from experiments.forecast import report
from experiments.forecast.samples import Samples, check, ends, floor, load

FLAGS = flags.FLAGS
OF_RESULTS = (
    "rewards", "labels", "real_rewards", "real_labels", "k", "lam", "temperature", "generations", "bootstrap", "level",
    "keep", "entropy_floor", "seed",
)  # fmt: skip


def define() -> None:
    """The flags."""
    file = "a .npy, .npz or .csv file, file.npz:array or file.csv:column"
    with common.group(helps.READ):
        flags.DEFINE_string("rewards", None, f"rewards of samples of the model: {file}")
        flags.DEFINE_string("labels", None, f"their classes, numbered from 0: {file}")
        flags.DEFINE_string(
            "real_rewards", None, f"rewards of real data (by default distributed as the model's): {file}"
        )
        flags.DEFINE_string("real_labels", None, f"the classes of the real data: {file}")
    common.loop("forecast", generations=10, k=None)
    with common.group(helps.LOOP):
        common.number("k", 4.0, f"{common.K}, or inf", infinite=True)
    with common.group(helps.FOUND):
        common.count("bootstrap", 200, "resamples for the bands; 0 for none", 0, common.SEVERAL)
        common.number("level", 0.9, "what a band holds of the resamples")
        flags.DEFINE_string("keep", None, "class:share; how much real data keeps the class at that share?")
        common.number("entropy_floor", None, "nats; how much real data keeps the entropy of the class shares at that?")
        common.count("seed", 0, "seed of the resamples", 0)
    flags.register_validator("rewards", bool, "is needed, such as --rewards=r.npy")
    flags.register_validator("k", lambda k: k >= 2, "takes a number >= 2 or inf, such as --k=4")
    flags.register_validator("bootstrap", lambda num: num == 0 or num >= 2, "takes 0, or 2 and more")
    flags.register_validator("level", lambda level: 0 < level < 1, "takes a number between 0 and 1")
    flags.register_validator("keep", _is_floor, "takes a class and a share between 0 and 1, such as --keep=3:0.05")


def main() -> None:
    """Reads, forecasts, and leaves tables and a figure in `--out`."""
    samples = load()
    classes = check(samples)
    out, lams = Path(FLAGS.out), FLAGS.lam
    settings = common.settings(*OF_RESULTS)
    digests = {f"{n}_sha256": hashlib.sha256(v).hexdigest() for n, v in samples._asdict().items() if v is not None}
    alone = samples.real_reward is None
    with claimed(out.absolute(), settings | digests):
        forecasts = predict(samples, classes)
        k, band = f"K = {FLAGS.k:.15g}", f"{100 * FLAGS.level:g} % band over {FLAGS.bootstrap} resamples"
        said = "\n".join(
            [
                f"{len(samples.reward)} samples and {_real(samples)}; {k}, temperature {FLAGS.temperature:g}"
                + (f"; in brackets the {band}" if FLAGS.bootstrap else ""),
                report.table(forecasts, lams, len(samples.reward) if alone else None),
                *required(samples, classes),
            ]
        )
        write(out / "forecast.csv", report.by_generation(forecasts, lams))
        write(out / "classes.csv", report.by_class(forecasts, lams))
        write(out / "forecast.txt", said + "\n")
        (out / "figures").mkdir(exist_ok=True)
        title = f"Forecast from {len(samples.reward):,} samples, {k}"
        metrics = ("reward_mean", "entropy") if classes > 1 else ("reward_mean", "kl") if alone else ("reward_mean",)
        report.draw(out / "figures/forecast.png", forecasts, lams, metrics, band=band, title=title)
    print(said)
    print(f"results in {out}: forecast.csv, classes.csv, forecast.txt and figures/forecast.png")


def predict(samples: Samples, classes: int) -> list[Forecast]:
    """The forecast and, unless there are none, the ends of its bands: each `[lams, ...]`.

    The bands are of float32, which is several times faster and finer than so many resamples are.
    """
    options, lams = _options(samples, classes), [float(lam) for lam in FLAGS.lam]
    with jax.enable_x64(True):
        found = [[forecast.forecast(lam=lam, **options)] for lam in lams]
    if FLAGS.bootstrap:
        begin = f"following {FLAGS.bootstrap} resamples of {len(samples.reward)} samples for each λ"
        print(f"{begin}; --bootstrap=0 leaves out the bands", file=sys.stderr)
        band = {"num": FLAGS.bootstrap, "level": FLAGS.level}
        for lam, of_lam in zip(lams, found, strict=True):
            of_lam += forecast.bootstrap(jax.random.key(FLAGS.seed), lam=lam, **options, **band)[:2]
    each = [
        jax.tree.map(lambda *rows: np.stack([np.asarray(row) for row in rows]), *f) for f in zip(*found, strict=True)
    ]
    return [_raised(one, ends(samples)[1]) for one in each]


def required(samples: Samples, classes: int) -> list[str]:
    """A line about the real share that keeps what the flags name, if they do."""
    keep = FLAGS.keep and floor(FLAGS.keep)
    goals = [f"class {keep[0]} at {keep[1]:g} or more"] if keep else []
    goals += [] if FLAGS.entropy_floor is None else [f"the entropy at {FLAGS.entropy_floor:g} nats or more"]
    if not goals:
        return []
    floors = {"keep": keep, "entropy_floor": FLAGS.entropy_floor}
    with jax.enable_x64(True):
        share, lam = map(float, forecast.required_real_share(**floors, **_options(samples, classes)))
    goal = f"{' and '.join(goals)} in generations 1 to {FLAGS.generations}"
    if math.isnan(share):
        return ["", f"no share of real data keeps {goal}"]
    return [
        "",
        f"a real share of {share:.4f} (λ = {lam:.4g}) keeps {goal}, as does every larger one; smaller ones need not",
    ]


def _options(samples: Samples, classes: int) -> dict[str, Any]:
    """The arguments of all forecasts; rewards less their largest, since choices see differences alone."""
    of_loop = {"k": FLAGS.k, "generations": FLAGS.generations, "temperature": FLAGS.temperature}
    real = None if samples.real_reward is None else samples.real_reward - ends(samples)[1]
    lowered = samples._replace(reward=samples.reward - ends(samples)[1], real_reward=real)
    return of_loop | lowered._asdict() | {"classes": classes}


def _raised(one: Forecast, by: float) -> Forecast:
    """The forecast with rewards on their own level again."""
    return one._replace(
        reward_mean=one.reward_mean + by,
        limit_reward_mean=one.limit_reward_mean + by,
        exp_reward_mean=one.exp_reward_mean * np.exp(np.float64(by)),
    )


def _real(samples: Samples) -> str:
    return "real data like them" if samples.real_reward is None else f"{len(samples.real_reward)} of real data"


def _is_floor(text: str | None) -> bool:
    try:
        return text is None or (floor(text)[0] >= 0 and 0 < floor(text)[1] < 1)
    except ValueError:
        return False


if __name__ == "__main__":
    define()
    common.launch(main)
