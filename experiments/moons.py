"""Curated retraining on two moons (figures 5 and 7 of the paper).

python -m experiments.moons --reward=classifier

A diffusion model, or another `--model`, learns two half circles and is retrained on its own samples after people have
chosen among them. By default they like what is near (0, 1); with `--reward=classifier`, what a classifier takes for the
moon `--label`. It prints the mass of what they like best beside the exact course, and draws what gmm does.
"""

from curated_retraining import data
from experiments import common
from experiments.plane import run
from experiments.plane.target import Target

MOONS = Target(
    draw=data.moons,
    log_density=data.moons_log_density,
    label=data.nearest_moon,
    names=("upper moon", "lower moon"),
    extent=(-1.6, 2.6, -1.2, 1.7),
    liked=(0.0, 1.0),
    r_min=0.5,
)


if __name__ == "__main__":
    run.define("moons", generations=5)
    common.launch(lambda: run.main(MOONS))
