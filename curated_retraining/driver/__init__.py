"""The host's side of a run: one compiled generation, a checkpoint after each, resume to the bit, no number lost."""

from curated_retraining.driver.checkpoints import newest
from curated_retraining.driver.drive import drive
from curated_retraining.driver.folders import absolute, claimed, recorded, write
from curated_retraining.driver.generations import Cells, History, advanced
from curated_retraining.driver.processes import RunError, by_first, first
from curated_retraining.driver.tables import table

__all__ = [
    "Cells",
    "History",
    "RunError",
    "absolute",
    "advanced",
    "by_first",
    "claimed",
    "drive",
    "first",
    "newest",
    "recorded",
    "table",
    "write",
]
