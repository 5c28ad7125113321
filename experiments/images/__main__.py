"""Curated retraining on images (figures 2, 3, 8, 9, 10 and 11 of the paper).

python -m experiments.images --dataset=digits --reward=class_probability

A classifier of the real images is trained, then a generator of them, which is retrained on its own images after people
have chosen among them by what the classifier says: how likely the class `--label` is, or how sure it is of any. It
prints mean reward and class shares beside a forecast from generation 0, and draws shares, quality and samples over
generations. Half an hour on two cores for digits; `--preset=paper` is for accelerators.
"""

from experiments import common
from experiments.images import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
