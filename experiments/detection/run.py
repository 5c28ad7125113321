"""A detection from its flags to its folder."""

import hashlib
import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

import curated_retraining as cr
from curated_retraining.detection import Detection, detect
from curated_retraining.driver import claimed, write
from curated_retraining.forecast.problem import bound
from experiments import arrays, common, helps
from experiments.detection import loops, report
from experiments.detection.loops import Evidence

FLAGS = flags.FLAGS
UNKNOWN = ("k", "temperature", "lam")
FALLBACK = {"k": ["2", "4", "8"], "lam": ["inf", "1", "0.5"]}
SIMULATED = ("model", "curated", "samples", "generations", "seeds", "seed", "gamma", "r_min")
WIDEST = 1000.0  # range of r / τ: memory grows in proportion


def define() -> None:
    """The flags."""
    file = "a .npy, .npz or .csv file, file.npz:array or file.csv:column"
    with common.group(helps.READ):
        flags.DEFINE_string(
            "before", None, f"rewards of samples of a generation; without it loops are simulated: {file}"
        )
        flags.DEFINE_string("after", None, f"rewards of samples of the next: {file}")
        flags.DEFINE_string("real", None, f"rewards of the real data; without them the loop is taken for pure: {file}")
    with common.group(helps.FOUND):
        flags.DEFINE_list(
            "find", None, "what is estimated of k, temperature and lam (by default k, and lam with real data)"
        )
        flags.DEFINE_list("k", None, "K where it is not estimated; of simulated loops one or more (by default 2,4,8)")
        flags.DEFINE_list("lam", None, "λ = #curated / #real, likewise (by default inf,1,0.5, and inf for files)")
        common.number("temperature", 1.0, "temperature of the choice where it is not estimated; 0 is best-of-K")
        common.number("level", 0.9, "of the intervals")
        common.count("fitted_to", None, "curated points that the generation after was fitted to, if known", 1)
    with common.group(helps.PLAYED):
        flags.DEFINE_enum("model", "gmm", loops.MODELS, "what is retrained in simulated loops")
    with common.group(helps.SIZES):
        common.count("curated", 10_000, "points chosen a generation of a simulated loop, and real points", 2)
        common.count("samples", 4000, "samples of a simulated generation whose rewards are known", 2)
    with common.group(helps.LOOP):
        common.count(
            "generations", 2, "retrainings of a simulated loop, of which the last is judged", most=common.SEVERAL
        )
    with common.group(helps.PLAYED):
        common.number("gamma", 2.0, "γ of the reward −γ max(0, ‖x − (2, 0)‖ − r_min) in simulated loops")
        common.number("r_min", 0.0, "its radius within which all are liked best")
    common.repetitions(seeds=4)
    common.folder("detection")
    flags.register_validator("level", lambda level: 0 < level < 1, "takes a number between 0 and 1")
    flags.register_validator("find", _are_unknown, "takes one or more of k, temperature and lam, such as --find=k,lam")
    flags.register_validator("k", partial(_are_numbers, least=1), "takes one or more different numbers >= 1 or inf")
    flags.register_validator("lam", partial(_are_numbers, least=0), "takes one or more different numbers >= 0 or inf")


def main() -> None:
    """Reads or simulates rewards, estimates, and leaves a table and a figure in `--out`."""
    if FLAGS.before:
        judge_files()
    elif FLAGS.after or FLAGS.real:
        raise app.UsageError(
            "--after or --real is given without --before: give --before and --after, or none to simulate"
        )
    else:
        judge_loops()


def judge_files() -> None:
    """The detection of what is in the files.

    Raises:
        app.UsageError: where a file is not what it should be, or what is known is not said.
    """
    if not FLAGS.after:
        raise app.UsageError("--before is given without --after: two generations are needed")
    find = FLAGS.find or (["k", "lam"] if FLAGS.real else ["k"])
    if not FLAGS.real and ("lam" in find or (FLAGS.lam and not math.isinf(_only("lam", "inf")))):
        raise app.UsageError("λ needs real data: give --real, or leave --lam at inf")
    given = {"before": FLAGS.before, "after": FLAGS.after, "real": FLAGS.real}
    samples = {name: arrays.rewards(spec) for name, spec in given.items() if spec}
    known = {"k": None if "k" in find else _only("k", None), "lam": None if "lam" in find else _only("lam", "inf")}
    temperature = None if "temperature" in find else FLAGS.temperature
    _require_range(np.concatenate([*samples.values()]), temperature)
    settings = given | {name: FLAGS[name].value for name in ("k", "lam", "temperature", "level", "fitted_to")}
    digests = {f"{name}_sha256": hashlib.sha256(values.tobytes()).hexdigest() for name, values in samples.items()}
    out = Path(FLAGS.out)
    with claimed(out.absolute(), settings | {"find": find} | digests):
        options = {"level": FLAGS.level, "fitted_to": FLAGS.fitted_to or math.inf}
        highest = max(values.max() for values in samples.values())  # choices see differences alone
        found = detect(*(s - highest for s in samples.values()), **known, temperature=temperature, **options)
        said = report.of_samples(samples, found, find, FLAGS.level)
        write(out / "detection.txt", said + "\n")
        write(out / "detection.csv", report.csv(jax.tree.map(lambda v: np.asarray(v)[None], found), {"seed": [0]}))
        (out / "figures").mkdir(exist_ok=True)
        report.draw_fit(out / "figures/detection.png", samples, found)
    print(said)
    print(f"results in {out}: detection.csv, detection.txt and figures/detection.png")


def judge_loops() -> None:
    """Detections in simulated loops beside what was true there."""
    find = FLAGS.find or ["k", "lam"]
    ks, lams = ([float(text) for text in FLAGS[name].value or FALLBACK[name]] for name in ("k", "lam"))
    if any(math.isinf(k) or k != int(k) or k < 2 for k in ks):
        raise app.UsageError(f"--k={','.join(FLAGS.k)}: simulated groups have whole numbers of 2 or more")
    if FLAGS.samples > FLAGS.curated:
        raise app.UsageError(
            f"--samples={FLAGS.samples} is over --curated={FLAGS.curated}, the real points: take fewer"
        )
    if "temperature" in find and not FLAGS.temperature:
        raise app.UsageError("--temperature=0 is no temperature to be found: take a positive one, or another --find")
    out = Path(FLAGS.out)
    settings = common.settings(*SIMULATED) | {"temperature": FLAGS.temperature, "lam": lams}
    judged = {"k": ks, "find": find, "level": FLAGS.level, "fitted_to": FLAGS.fitted_to}
    with claimed(out.absolute(), settings | judged):
        evidence = loops.play(
            out,
            settings,
            loops.Sizes(FLAGS.model, FLAGS.curated, FLAGS.samples, FLAGS.generations),
            cr.distance(jnp.array([2.0, 0.0]), r_min=FLAGS.r_min, gamma=FLAGS.gamma),
            ks=[int(k) for k in ks],
            lams=lams,
            temperature=FLAGS.temperature,
            seeds=common.seeds(),
            every=FLAGS.every,
            keep=FLAGS.keep,
        )
        _require_range(np.concatenate([evidence.before.ravel(), evidence.after.ravel()]), FLAGS.temperature)
        found = judge(evidence, find)
        said = report.of_loops(evidence, found, find, FLAGS.temperature, FLAGS.level)
        truth = {"k": evidence.k, "lam": evidence.lam, "seed": np.resize(common.seeds(), len(evidence.k))}
        write(out / "detection.txt", said + "\n")
        write(out / "detection.csv", report.csv(found, truth))
        (out / "figures").mkdir(exist_ok=True)
        report.draw_loops(out / "figures/detection.png", evidence, found, find, FLAGS.temperature, FLAGS.level)
    print(said)
    print(f"results in {out}: detection.csv, detection.txt, figures/detection.png, and the loops of each K in k=*")


def judge(evidence: Evidence, find: list[str]) -> Detection:
    """The detection in every loop, `[loops]` a number."""
    temperature = None if "temperature" in find else FLAGS.temperature
    reward_range = None if temperature is None else bound(jnp.asarray(evidence.before), temperature)
    options = {"level": FLAGS.level, "fitted_to": FLAGS.fitted_to or FLAGS.curated, "reward_range": reward_range}

    def of(one):
        k, lam = (None if name in find else getattr(one, name) for name in ("k", "lam"))
        return detect(one.before, one.after, one.real, k=k, lam=lam, temperature=temperature, **options)

    program = jax.jit(lambda evidence: jax.lax.map(of, evidence))
    return jax.tree.map(np.asarray, program(jax.tree.map(lambda v: jnp.asarray(v, np.float32), evidence)))


def _only(name: str, default: str | None) -> float:
    """The one value of a flag that is known."""
    texts = FLAGS[name].value or ([] if default is None else [default])
    if len(texts) != 1:
        raise app.UsageError(f"--{name} is not among --find: say what it is, such as --{name}=4")
    return float(texts[0])


def _require_range(rewards: np.ndarray, temperature: float | None) -> None:
    if np.ptp(rewards) == 0:
        raise app.UsageError(f"all rewards are {rewards[0]:g}: nothing can have been chosen by them")
    if temperature and np.ptp(rewards) / temperature > WIDEST:
        span = f"the rewards, {rewards.min():g} to {rewards.max():g}, span more than {WIDEST:g} times"
        raise app.UsageError(f"{span} --temperature={temperature:g}: take a higher one, or 0 for best-of-K")


def _are_unknown(names: list[str] | None) -> bool:
    return names is None or (bool(names) and set(names) <= set(UNKNOWN))


def _are_numbers(texts: list[str] | None, least: float) -> bool:
    if texts is None:
        return True
    values = common.distinct(texts)
    return bool(values) and all(value >= least for value in values)
