"""What holds in every test: no key is used twice, no rank is promoted, nothing is cached on disk or shown.

Most of the suite's time is compilation, so LLVM is told not to optimise: in the processes that tests start as well.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 " + os.environ.get("XLA_FLAGS", "")  # the last one holds

import jax
import numpy as np
import pytest
from scipy.stats import norm, t
from twins import near_twins, rows

os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # of the processes that tests start
os.environ["PYTHONWARNINGS"] = "error::DeprecationWarning,error::FutureWarning,error::PendingDeprecationWarning"
os.environ["MPLBACKEND"] = "Agg"  # read when matplotlib is first imported

jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_enable_compilation_cache", False)


@pytest.fixture
def assert_mean():
    """Asserts that independent draws `[n, ...]` have the given mean, to `k` of its standard errors.

    The error is known from the draws: where these are few it may be more of them, as rare as `k` by Student's t.
    The mean may be off by `bias` besides.
    Where all draws agree the error is zero and the mean must be exact: a probability of zero means never.
    """

    def check(draws, expected, k=4.5, bias=0.0):
        draws = np.asarray(draws, float)
        error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
        away = np.abs(draws.mean(axis=0) - expected)
        most = t.isf(norm.sf(k), len(draws) - 1)
        assert np.all(away <= most * error + bias), (
            f"mean {draws.mean(axis=0)}, expected {expected}, standard error {error}"
        )

    return check


@pytest.fixture
def assert_twins():
    """Asserts that the rows of `exact.csv` in a folder are those of `metrics.csv` beside it; see `near_twins`."""

    def check(folder, near, name="exact.csv"):
        near_twins(rows(folder / "metrics.csv"), rows(folder / name), near)

    return check
