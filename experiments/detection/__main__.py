"""How strongly was a generation curated? From rewards of samples before and after, or tried on simulated loops.

python -m experiments.detection
python -m experiments.detection --before=a.npy --after=b.npy --real=c.npy

With files it estimates K and λ of the generation between them, with intervals. Without, it plays loops whose K and λ
are known and sets what it finds beside them. The first line of a .csv file names its columns, unless it holds a number:
then it is data.
"""

from experiments import common
from experiments.detection import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
