"""Two models, each retrained on real data, its own and the other's samples (arXiv 2605.29267).

python -m experiments.two_models
python -m experiments.two_models --part=ring --model=gmm

`toy`: two Gaussians, whose alignment J over the strength of curation has a closed form. `ring`: two diffusion models of
eight Gaussians whose people like opposite sides; each is curated or not, and takes a share of its synthetic data from
the other.
"""

from experiments import common
from experiments.two_models import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
