"""What a detection leaves behind: its table as text, numbers as CSV, and the figures."""

import csv as csv_format
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining import figures, theory
from curated_retraining.detection import Detection, Estimate
from curated_retraining.forecast.problem import bound
from experiments.detection.loops import Evidence

NAMES = {"k": "K", "temperature": "temperature", "lam": "λ"}
SHARE = "share η = λ/(1+λ)"


def of_samples(samples: Mapping[str, np.ndarray], found: Detection, find: Sequence[str], level: float) -> str:
    """The estimates as text."""
    counted = ", ".join(f"{len(values)} {name}" for name, values in samples.items())
    lines = [f"rewards of {counted}; in brackets the {100 * level:g} % interval"]
    for name, shown in NAMES.items():
        one = getattr(found, name)
        if name in find:
            lines.append(f"{shown:>12} = {one.value:.4g} ({one.low:.4g} to {one.high:.4g})")
        else:
            lines.append(f"{shown:>12} = {one.value:.4g}, as given")
    lines.append(f"p-value of no curation {found.p_value:.2g}; of the fit {found.misfit:.2g}")
    if found.misfit < 1 - level:
        lines.append("no K, temperature and λ looked for explain these rewards: do not trust the estimates")
    return "\n".join(lines)


def of_loops(evidence: Evidence, found: Detection, find: Sequence[str], temperature: float, level: float) -> str:
    """A line for each K and λ: median estimates, and how many of the intervals hold the truth."""
    truth = _truth(evidence, temperature)
    lines = [
        f"median estimate, and how many of the {100 * level:g} % intervals hold the truth",
        f"{'K':>4} {'λ':>5}"
        + "".join(f"{NAMES[name]:>13} {'held':>8}" for name in find)
        + f"{'curated':>10} {'misfit':>8}",
    ]
    for k, lam in dict.fromkeys(zip(evidence.k, evidence.lam, strict=True)):
        here = (evidence.k == k) & (evidence.lam == lam)
        num, line = int(here.sum()), f"{k:4.0f} {lam:5g}"
        for name in find:
            value, low, high = (values[here] for values in _numbers(getattr(found, name)))
            held = (low <= truth[name][here] * (1 + 1e-5)) & (truth[name][here] * (1 - 1e-5) <= high)  # float32
            line += f"{np.median(value):13.3f} {f'{held.sum()}/{num}':>8}"
        seen, bad = ((values[here] < 1 - level).sum() for values in (found.p_value, found.misfit))
        lines.append(line + f"{f'{seen}/{num}':>10} {f'{bad}/{num}':>8}")
    return "\n".join(
        [*lines, f"curated: no curation is refused at {1 - level:.2g}; misfit: so is every K and λ looked for"]
    )


def csv(found: Detection, columns: Mapping[str, Sequence]) -> str:
    """CSV: `columns`, then each estimate with the ends of its interval, and the p-values, a row a detection."""
    values = {}
    for name in NAMES:
        one = getattr(found, name)
        values |= {f"{name}_found": one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    values |= {"p_value": found.p_value, "misfit": found.misfit}
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow([*columns, *values])
    writer.writerows(zip(*columns.values(), *([str(v) for v in each] for each in values.values()), strict=True))
    return text.getvalue()


def draw_loops(
    path: Path, evidence: Evidence, found: Detection, find: Sequence[str], temperature: float, level: float
) -> None:
    """Writes the figure of estimates against the truth: K, τ, and λ as the share that it gives the curated points."""
    ks, lams = np.unique(evidence.k), np.unique(evidence.lam)
    place = np.lexsort((evidence.lam, evidence.k))  # [k, lam, seeds] once sorted, since every cell has as many

    def cells(values, lams_first):
        each = values[place].reshape(len(ks), len(lams), -1)
        return np.swapaxes(each, 0, 1) if lams_first else each

    shown = {}
    of_lam, of_k = [f"λ = {'∞' if math.isinf(lam) else f'{lam:g}'}" for lam in lams], [f"K = {k:g}" for k in ks]
    if "k" in find:
        ends = (cells(values, True) for values in _numbers(found.k))
        shown["K"] = figures.Estimates(ks, *ends, rows=of_lam, logarithmic=True)
    if "lam" in find:
        ends = (cells(_share(values), False) for values in _numbers(found.lam))
        shown[SHARE] = figures.Estimates(_share(lams), *ends, rows=of_k, logarithmic=False)
    if "temperature" in find:
        ends = (
            values[place].reshape(-1, 1, len(place) // len(ks) // len(lams)) for values in _numbers(found.temperature)
        )
        rows = [f"{k}, {lam}" for k in of_k for lam in of_lam]
        shown["temperature"] = figures.Estimates(np.array([temperature]), *ends, rows=rows, logarithmic=True)
    figures.estimates(path, shown, band=f"{100 * level:g} % interval", title="Detected curation")


def draw_fit(path: Path, samples: Mapping[str, np.ndarray], found: Detection) -> None:
    """Writes the figure of rewards before and after, and of what the estimates make of those before."""
    before, real = samples["before"], samples.get("real", samples["before"])
    rewards, n = np.concatenate([before, real]), len(before)
    p = np.append(np.full(n, 1 / n), np.zeros(len(real)))
    p_ref = np.append(np.zeros(n), np.full(len(real), 1 / len(real)))
    k, temperature, lam = (one.value for one in (found.k, found.temperature, found.lam))
    options = {"temperature": temperature, "reward_range": bound(jnp.asarray(rewards), temperature)}
    p, p_ref, r = (jnp.asarray(v, jnp.float32) for v in (p, p_ref, rewards - rewards.max()))
    weight = jax.jit(lambda p, r: theory.retrain(p, r, k=k, lam=lam, p_ref=p_ref, **options))(p, r)
    names = {"before": "generation t", "after": "generation t + 1", "real": "real data"}
    shown = {names[name]: values for name, values in samples.items()}
    figures.fitted(
        path, shown, (rewards, np.asarray(weight)), title=f"K = {k:.3g}, temperature {temperature:.3g}, λ = {lam:.3g}"
    )


def _truth(evidence: Evidence, temperature: float) -> dict[str, np.ndarray]:
    return {"k": evidence.k, "lam": evidence.lam, "temperature": np.full(len(evidence.k), temperature)}


def _numbers(one: Estimate) -> list[np.ndarray]:
    """The estimate and the ends of its interval."""
    return [np.asarray(values) for values in one]


def _share(lam: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 1 / (1 + 1 / lam)
