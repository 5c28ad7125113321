"""What an experiment in the plane shows: a table of measured against exact, and the figures."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining import figures, theory
from curated_retraining.driver import History
from curated_retraining.types import Array
from experiments import common, twins
from experiments.plane import population
from experiments.plane.population import SIDE, Population
from experiments.plane.target import Target
from experiments.repeated import by_row

FIGURES = ("densities.png", "generations.gif", "curves.png", "shares.png", "frames/caption.txt")
AXES = {
    "reward_mean": "mean reward E[r]",
    "exp_reward_mean": "E[exp r]",
    "top_mass": "mass of the top level set",
    "kl": "KL to the real data (nats)",
}


def write(
    out: Path,
    history: History,
    exact: tuple[Array, Array],
    plane: Population,
    target: Target,
    *,
    lams: list[str],
    k: int,
) -> None:
    """Prints the table and leaves the figures in `out/figures`."""
    course, limit = exact
    measured = {name: by_row(values, len(lams)) for name, values in history.items()}
    predicted = {name: np.asarray(v) for name, v in population.moments(plane, course, len(target.names)).items()}
    twins.leave(out, predicted, [{"lam": lam} for lam in lams])
    print(table(measured["top_mass"], predicted["top_mass"], lams))
    print(f"results in {out}: metrics.csv, exact.csv, checkpoints/ and figures/")

    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    if all((folder / name).exists() for name in FIGURES):
        return
    rows = common.row_titles(lams)
    reward = _square(plane.reward)
    in_plane = {"rows": rows, "extent": target.extent, "reward": reward}
    points = _over_seeds(measured["pool"])
    p_0, limit = (_square(p / plane.cell) for p in (plane.p_ref, limit))
    figures.densities(folder / "densities.png", points, limit=limit, p_0=p_0, **in_plane)
    exact_densities = _square(course / plane.cell)
    figures.density_frames(
        folder / "frames",
        points,
        rows=[f"lam={lam}" for lam in lams],
        extent=target.extent,
        reward=reward,
        exact=exact_densities,
    )
    figures.animation(
        folder / "generations.gif",
        points,
        exact=exact_densities,
        top_mass=measured["top_mass"].mean(axis=1),
        **in_plane,
    )
    figures.curves(
        folder / "curves.png",
        {name: measured[name] for name in AXES},
        predicted,
        rows=rows,
        bounds=bounds(plane, course, np.array([float(lam) for lam in lams]), k),
        labels=AXES,
    )
    figures.shares(folder / "shares.png", measured["share"], predicted["share"], rows=rows, names=target.names)


def table(measured: np.ndarray, exact: np.ndarray, lams: list[str]) -> str:
    """Top level mass, measured `[lams, seeds, generations]` against exact `[lams, generations]`, as text."""
    lines = [f"{'top level mass':>24}" + "".join(f"{f't={t}':>8}" for t in range(exact.shape[1]))]
    for lam, runs, course in zip(lams, measured, exact, strict=True):
        mean = runs.mean(axis=0)
        for name, values in (("measured", mean), ("exact", course), ("difference", mean - course)):
            lines.append(f"{f'λ={lam} {name}':>24}" + "".join(f"{value:8.3f}" for value in values))
        lines.append(f"{'largest |difference|':>24}{abs(mean - course).max():8.3f} (mean over {len(runs)} seeds)")
    return "\n".join(lines)


def bounds(plane: Population, course: Array, lams: np.ndarray, k: int) -> dict[str, list[tuple[str, np.ndarray]]]:
    """The bounds of the theory by metric, each `[lams, generations or 1]`; one that binds for no λ is left out."""
    least, floor, ceiling = jax.tree.map(np.asarray, _bounds(plane, course, jnp.asarray(lams, jnp.float32), k))
    before = np.full((len(lams), 1), np.nan)
    found = {
        "exp_reward_mean": [
            ("least gain since t − 1", np.concatenate([before, least[:, :-1]], axis=1)),
            ("floor for t ≥ 1", floor[:, None]),
        ]
    }
    if np.isfinite(ceiling).any():
        found["kl"] = [("ceiling, λ < 1/(K − 1)", ceiling[:, None])]
    return found


@functools.partial(jax.jit, static_argnums=3)
def _bounds(plane, course, lams, k):
    p_ref, reward = plane.p_ref, plane.reward

    def of(lam, course):
        gain = jax.vmap(lambda p: theory.reward_increment_bound(p, reward, k=k))(course)
        share = theory.curated_share(lam)
        least = (1 - share) * (p_ref @ jnp.exp(reward)) + share * (course @ jnp.exp(reward) + gain)
        return least, theory.reward_floor(p_ref, reward, k=k, lam=lam), theory.kl_ceiling(k=k, lam=lam)

    return jax.vmap(of)(lams, course)


def _over_seeds(pool: np.ndarray) -> np.ndarray:
    """`[rows, seeds, generations, n, 2]` as `[rows, generations, seeds × n, 2]`."""
    together = np.moveaxis(pool, 1, 2)
    return together.reshape(*together.shape[:2], -1, together.shape[-1])


def _square(values: Array) -> np.ndarray:
    return np.asarray(values).reshape(*values.shape[:-1], SIDE, SIDE)
