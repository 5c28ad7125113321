"""Preferences: rewards that change with the loop.

Each is a `Preference`, for `retraining(reward=...)` and `start(reward=...)` alike. What they take besides functions and
sizes is data: it may be traced and vmapped, and new numbers of the same shapes cause no retrace.
"""

from curated_retraining.loop import constant
from curated_retraining.preferences.learned import learned
from curated_retraining.preferences.moving import co_evolving, drifting, frozen

__all__ = ["co_evolving", "constant", "drifting", "frozen", "learned"]
