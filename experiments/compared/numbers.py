"""What a course came to, as numbers, and the tables that set measured beside exact."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.compared.ring import LEAST_LIKED
from experiments.repeated import standard_error

Found = dict[str, np.ndarray]  # a number a course, by name
COLUMNS = {
    "gain": "reward gained, sd of the real data's",
    "entropy": "entropy of the modes' shares kept, of generation 0's",
    "minority": "mass of the three least liked modes kept, of generation 0's",
    "spread": "spread within modes kept, of generation 0's",
    "collapse": "generations to collapse: the first whose entropy is below half of generation 0's",
    "drift": "total variation of the modes' shares from the real, even ones",
    "moving": "the same between the last two generations",
}


def summary(course: Mapping[str, np.ndarray], sd: float) -> Found:
    """The numbers of courses `[..., generations + 1]` (shares `[..., generations + 1, modes]`), `[...]` each.

    `sd` is that of the real data's reward. `collapse` is NaN where there was none.
    """
    reward, entropy, spread = (course[name] for name in ("reward_mean", "entropy", "spread"))
    share = course["share"]
    minority = share[..., LEAST_LIKED].sum(axis=-1)
    below = entropy < entropy[..., :1] / 2
    return {
        "gain": (reward[..., -1] - reward[..., 0]) / sd,
        "entropy": entropy[..., -1] / entropy[..., 0],
        "minority": minority[..., -1] / minority[..., 0],
        "spread": spread[..., -1] / spread[..., 0],
        "collapse": np.where(below.any(axis=-1), below.argmax(axis=-1), np.nan),
        "drift": np.abs(share[..., -1, :] - 1 / share.shape[-1]).sum(axis=-1) / 2,
        "moving": np.abs(share[..., -1, :] - share[..., -2, :]).sum(axis=-1) / 2,
    }


def table(names: Sequence[str], measured: Found, exact: Found, generations: int) -> str:
    """A row a course as text: means of `measured` `[rows, seeds]` over seeds, ± standard error, and `exact` `[rows]`.

    Then the largest differences.
    """
    seeds = measured["gain"].shape[1]
    width = max(map(len, names)) + 2
    lines = [f"{'measured | exact':>{width}}" + "".join(f"{name:>23}" for name in measured)]
    for row, name in enumerate(names):
        cells = "".join(_cell(values[row], exact[key][row], generations) for key, values in measured.items())
        lines.append(f"{name:>{width}}{cells}")
    over = f"mean ± standard error over {seeds} seeds" if seeds > 1 else "one seed"
    lines.append(f"{over}; >{generations}: no collapse within so many generations, in one seed or more")
    for key, values in measured.items():
        away = np.abs(values.mean(axis=1) - exact[key])
        if key != "collapse" and np.isfinite(away).any():
            worst = int(np.nanargmax(away))
            lines.append(f"largest |difference| of {key}: {away[worst]:.3f} ({names[worst]})")
    return "\n".join(lines)


def to_csv(names: Sequence[str], measured: Found, exact: Found) -> str:
    """The same numbers as CSV: `name`, its standard error over seeds and its exact twin, a row a course."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *(f"{key}{what}" for key in measured for what in ("", "_error", "_exact"))])
    for row, name in enumerate(names):
        numbers = [
            (values[row].mean(), standard_error(values[row]), exact[key][row]) for key, values in measured.items()
        ]
        writer.writerow([name, *(f"{value:.6g}" for triple in numbers for value in triple)])
    return text.getvalue()


def _cell(values, exact, generations):
    shown = [f">{generations}" if np.isnan(values).any() else f"{values.mean():.3f}"]
    error = standard_error(values)
    shown.append("" if np.isnan(error) else f"±{error:.3f}")
    return f"{''.join(shown):>14}|{'' if np.isnan(exact) else f'{exact:.3f}':>8}"
