"""What a forecast leaves behind: its table as text, numbers as CSV, and the figure.

Forecasts come as `[course]` or `[course, low, high]`, the ends of its bands, each with a leading axis of λ.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from curated_retraining import figures
from curated_retraining.forecast import Forecast
from experiments import common

FEW = 100  # samples, below which a forecast is told to rest on little
SHOWN = 10  # classes in the table and the figure, the largest ones; the files have all
AXES = {"reward_mean": "mean reward E[r]", "entropy": "class entropy (nats)", "kl": "KL to generation 0 (nats)"}


def table(forecasts: list[Forecast], lams: Sequence[str], num: int | None = None) -> str:
    """For each λ a table of generations and one of classes, and the limit.

    `num`, where the KL is that of the samples to generation 0, is how many there are: then num · e^−KL, the perplexity
    of p_t, is how many even samples have its entropy. Where that is small the course hangs on the few best samples that
    happened to be drawn, and bands by resampling them are too narrow (measured in the pure loop with Gaussian rewards,
    500 samples, K = 4, 120 trials: 90 % bands of E[r] held the truth in 91 % at t = 1, 70 % at t = 4, 12 % at t = 8).
    """
    share = forecasts[0].share
    shown, last = _largest(share), share.shape[1] - 1
    rest = share.shape[2] - len(shown)
    lines = []
    for row, lam in enumerate(lams):
        each = [jax.tree.map(lambda values, row=row: values[row], one) for one in forecasts]
        course = each[0]
        lines += ["", f"λ = {lam}" + (f" ({rest} smaller classes are in the files alone)" if rest else "")]
        rests_on = np.exp(-course.kl) * num if num else None
        heads = f"{'t':>4} {'E[r]':>9} {'entropy':>8} {'classes':>8}" + (f" {'rests on':>9}" if num else "")
        lines.append(heads + "".join(f"{f'p({c})':>8}" for c in shown))
        for t in range(last + 1):
            numbers = f"{course.reward_mean[t]:9.3f} {course.entropy[t]:8.3f} {course.effective_classes[t]:8.2f}"
            numbers += "" if rests_on is None else f" {rests_on[t]:9.0f}"
            lines.append(f"{t:4} {numbers}" + "".join(f"{course.share[t, c]:8.4f}" for c in shown))
        if rests_on is not None and (rests_on < FEW).any():
            begin = f"from t = {np.argmax(rests_on < FEW)} on it rests on fewer than {FEW} samples"
            lines.append(f"{begin}: better ones than were drawn are not foreseen, and bands are too narrow")
        heads = ("share at t = 0", f"at t = {last}", "in the limit", "half-life")
        lines.append(f"{'class':>6}" + "".join(f"{head:>26}" for head in heads))
        for c in shown:
            columns = (
                _banded(f.share[0, c] for f in each),
                _banded(f.share[last, c] for f in each),
                _banded(f.limit_share[c] for f in each),
                _banded(f.half_life[c] for f in each),
            )
            lines.append(f"{c:6}" + "".join(f"{column:>26}" for column in columns))
        lines.append(f"E[r] at t = {last}: {_banded(f.reward_mean[last] for f in each)}")
        if np.isnan(course.limit_share).any():
            lines.append("the limit was not reached in 10,000 generations: no class is predicted to win")
        else:
            winner = f"class {course.winner}, with {course.limit_share[course.winner]:.3f}"
            lines.append(f"E[r] in the limit: {_banded(f.limit_reward_mean for f in each)}; predicted to win: {winner}")
    return "\n".join(lines)


def by_generation(forecasts: list[Forecast], lams: Sequence[str]) -> str:
    """CSV: λ, generation, then each metric and class, followed by the ends of its band."""
    columns = {}
    for name in ("reward_mean", "exp_reward_mean", "entropy", "effective_classes", "kl"):
        columns |= _with_ends(name, [getattr(f, name) for f in forecasts])
    for c in range(forecasts[0].share.shape[2]):
        columns |= _with_ends(f"share_{c}", [f.share[..., c] for f in forecasts])
    return _csv("generation", lams, columns)


def by_class(forecasts: list[Forecast], lams: Sequence[str]) -> str:
    """CSV: λ, class, its half-life and its share in the limit with the ends of their bands, and whether it wins."""
    columns = {}
    for name in ("half_life", "limit_share"):
        columns |= _with_ends(name, [getattr(f, name) for f in forecasts])
    limit = forecasts[0].limit_share
    known = ~np.isnan(limit).any(axis=1, keepdims=True)
    columns["winner"] = (known & (forecasts[0].winner[:, None] == np.arange(limit.shape[1]))).astype(int)
    return _csv("class", lams, columns)


def draw(
    path: Path, forecasts: list[Forecast], lams: Sequence[str], metrics: Sequence[str], *, band: str, title: str
) -> None:
    """Writes the figure: class shares for each λ, and the metrics."""
    shown = _largest(forecasts[0].share)
    course, *ends = (
        {"share": np.asarray(f.share)[..., shown]} | {name: np.asarray(getattr(f, name)) for name in metrics}
        for f in forecasts
    )
    figures.forecast(
        path,
        course,
        (ends[0], ends[1]) if ends else None,
        rows=common.row_titles(list(lams)),
        names=[f"class {c}" for c in shown],
        labels=AXES,
        band=band,
        title=title,
    )


def _largest(share) -> np.ndarray:
    """The numbers, in order, of the classes that are largest at any time, of `[lams, generations, classes]`."""
    return np.sort(np.argsort(-share.max(axis=(0, 1)), kind="stable")[:SHOWN])


def _banded(values) -> str:
    """A number and, if they follow, the ends of its band."""
    value, *ends = (f"{value:.3f}" for value in values)
    return f"{value} ({' to '.join(ends)})" if any(end != "inf" for end in ends) else value


def _with_ends(name, values):
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=False))


def _csv(index, lams, columns) -> str:
    """Columns `[lams, index]`; numbers are the shortest decimals that give their float back."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["lam", index, *columns])
    for row, lam in enumerate(lams):
        for i in range(next(iter(columns.values())).shape[1]):
            writer.writerow([lam, i, *(str(values[row, i]) for values in columns.values())])
    return text.getvalue()
