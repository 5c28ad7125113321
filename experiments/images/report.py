"""What the image experiment shows: a table of measured against forecast, and the figures."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining import figures, forecast
from curated_retraining.driver import History
from curated_retraining.forecast import Forecast
from experiments import common, twins
from experiments.images.observed import Judged
from experiments.repeated import by_row

FIGURES = ("shares.png", "quality.png", "curation.png", "samples.png", "frames/caption.txt")
THEORY = "forecast from generation 0"
QUALITY = {
    "entropy": "class entropy (nats)",
    "frechet_distance": "Fréchet distance\n(classifier features)",
    "fid": "FID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "nearest_real_ratio": "distance to nearest real image\n/ that of a real image",
}


def write(
    out: Path,
    history: History,
    real: Judged,
    names: tuple[str, ...],
    *,
    lams: list[str],
    k: int,
    temperature: float,
    liked: int | None,
) -> None:
    """Prints the table and leaves the figures in `out/figures`; `liked` is the class that the reward likes, if any."""
    measured = {name: by_row(values, len(lams)) for name, values in history.items()}
    predicted = predict(measured["judged"], real, len(names), lams=lams, k=k, temperature=temperature)
    foretold = {name: getattr(predicted, name) for name in ("reward_mean", "exp_reward_mean", "entropy", "share")}
    twins.leave(out, foretold, [{"lam": lam} for lam in lams], twins.FORETOLD)
    print(table(measured, predicted, lams, names, liked))
    print(f"results in {out}: metrics.csv, foretold.csv, checkpoints/ and figures/")

    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    if all((folder / name).exists() for name in FIGURES):
        return
    rows = common.row_titles(lams)
    figures.stacked_shares(
        folder / "shares.png",
        measured["share"],
        measured["reward_mean"],
        rows=rows,
        names=names,
        predicted_share=np.asarray(predicted.share),
        predicted_reward=np.asarray(predicted.reward_mean),
        liked=liked,
        theory=THEORY,
    )
    quality = {name: measured[name] for name in QUALITY if name in measured}
    figures.curves(
        folder / "quality.png",
        quality,
        {"entropy": np.asarray(predicted.entropy)},
        rows=rows,
        labels=QUALITY,
        theory=THEORY,
    )
    scored = measured["candidate_reward"][0, 0, ..., 0]  # [generations, groups, k]
    t = int(scored.std(axis=2).mean(axis=1).argmax())  # where candidates differ most, there is most to see
    figures.curation(
        folder / "curation.png",
        measured["candidates"][0, 0, t],
        scored[t],
        measured["candidate_kept"][0, 0, t, ..., 0].argmax(axis=1),
        columns=2,
        title=f"{rows[0]}: the first groups of generation {t}",
    )
    figures.sample_grids(folder / "samples.png", measured["shown"][:, 0], rows=rows)
    figures.sample_frames(folder / "frames", measured["shown"][:, 0], rows=[f"lam={lam}" for lam in lams])


def of_classifier(found: dict[str, float]) -> str:
    """What is known of the classifier, as text: a confidence reward amplifies what is wrong with its probabilities."""
    return (
        f"classifier: {found['accuracy']:.1%} of test images right, expected calibration error "
        f"{found['calibration_error']:.3f}, {found['calibration_error_tempered']:.3f} at its calibrated temperature "
        f"{found['temperature']:.2f}"
    )


def predict(judged: np.ndarray, real: Judged, classes: int, *, lams: list[str], k: int, temperature: float) -> Forecast:
    """The forecast for each λ, `[lams, ...]`, from generation 0 of `judged` `[lams, seeds, generations, n, 2]`.

    It is the same model for all λ and seeds, so the samples of all seeds count, once.
    """
    generations = judged.shape[2] - 1
    reward, label = np.moveaxis(judged[0, :, 0].reshape(-1, 2), -1, 0)
    each = [
        forecast.forecast(
            jnp.asarray(reward),
            jnp.asarray(label, int),
            k=float(k),
            lam=float(lam),
            generations=generations,
            temperature=temperature,
            real_reward=jnp.asarray(real.reward),
            real_label=jnp.asarray(real.label),
            classes=classes,
        )
        for lam in lams
    ]
    return jax.tree.map(lambda *rows: np.stack([np.asarray(row) for row in rows]), *each)


def table(
    measured: dict[str, np.ndarray], predicted: Forecast, lams: list[str], names: tuple[str, ...], liked: int | None
) -> str:
    """Mean reward, entropy and the share of the class that is liked: measured, forecast, and their difference."""
    compared = {
        "E[r]": (measured["reward_mean"], predicted.reward_mean),
        "entropy": (measured["entropy"], predicted.entropy),
    }
    if liked is not None:
        compared[f"p({names[liked]})"] = measured["share"][..., liked], predicted.share[..., liked]
    generations = predicted.entropy.shape[1]
    lines = [f"{'':>28}" + "".join(f"{f't={t}':>8}" for t in range(generations))]
    for row, lam in enumerate(lams):
        for name, (runs, course) in compared.items():
            mean = runs[row].mean(axis=0)
            for kind, values in (("", mean), (" forecast", course[row]), (" difference", mean - course[row])):
                lines.append(f"{f'λ={lam} {name}{kind}':>28}" + "".join(f"{value:8.3f}" for value in values))
    return "\n".join(lines)
