"""Adversaries in the pure loop (λ = ∞) on a ring of eight Gaussians: when the reward that people mean still rises.

python -m experiments.adversary

Some of the annotators want the opposite, or choices are flipped at random or where the liked mode takes part; or the
loop is curated, at K = ∞, by a Bradley-Terry reward r' learnt from comparisons, a budget of which an attacker has
flipped. The genuine E[e^r] rises exactly while Cov(e^r, e^{r'}) >= 0, at finite K while Cov(e^r, H) >= 0.
"""

from experiments import common
from experiments.adversary import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
