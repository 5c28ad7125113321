"""Curated retraining on images (figures 2, 3, 8, 9, 10 and 11 of the paper).

python -m experiments.images --dataset=digits --reward=class_probability
"""

from experiments import common
from experiments.images import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
