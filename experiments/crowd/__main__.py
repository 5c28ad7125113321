"""Annotators who disagree, in the pure loop (λ = ∞) on a ring of ten Gaussians: what survives of their tastes.

python -m experiments.crowd

Each type likes another mode. Two types in the shares 1 − q and q, and M types in equal shares, retrain a mixture of
Gaussians for each group size K. At K = ∞ W = Σ_u q_u log E[e^{r_u}] never falls, and separated basins end at 1 − q and
q; at finite K neither holds.
"""

from experiments import common
from experiments.crowd import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
