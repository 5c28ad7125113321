"""How strongly was a generation curated? From rewards of samples before and after, or tried on simulated loops.

python -m experiments.detection
python -m experiments.detection --before=a.npy --after=b.npy --real=c.npy
"""

from experiments import common
from experiments.detection import run

if __name__ == "__main__":
    run.define()
    common.launch(run.main)
