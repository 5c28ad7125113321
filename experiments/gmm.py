"""Curated retraining on a mixture of eight Gaussians (figures 4 and 6 of the paper).

python -m experiments.gmm --reward=distance

A diffusion model, or another `--model`, learns eight Gaussians on a ring and is retrained on its own samples after
people have chosen among them. By default they like what is near the mode at (2, 0). It prints the mass of what they
like best beside the exact course, and draws densities, metrics and shares of the modes over generations.
"""

from curated_retraining import data
from experiments import common
from experiments.plane import run
from experiments.plane.target import Target

RING = Target(
    draw=data.ring,
    log_density=data.ring_log_density,
    label=data.nearest_mode,
    names=tuple(f"mode {mode}" for mode in range(8)),
    extent=(-3.5, 3.5, -3.5, 3.5),
    liked=(2.0, 0.0),
    r_min=1.0,
)


if __name__ == "__main__":
    run.define("gmm", generations=8)
    common.launch(lambda: run.main(RING))
