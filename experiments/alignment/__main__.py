"""Curated retraining and preference optimisation of the same reward, beside the reward–KL frontier.

python -m experiments.alignment

Each method starts from the same model of the real data: the loops of K = 2 and `--k`, alone and with real data,
reward-weighted regression (the loop at K = ∞), best-of-n distillation, DPO on the pairs that the curator of the K = 2
loop decides in generation 0, and KL-regularised REINFORCE. They are played on a finite support, whose refits are exact,
and on the ring with a normalizing flow. The frontier is p ∝ p_ref e^{r/β}, the maximiser of E[r] − β KL(p ‖ p_ref).
"""

from experiments import common
from experiments.alignment import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
