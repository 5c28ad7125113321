"""The instances that the tests of the theory share."""

import jax
import pytest
from instances import awkward, nearly_tight


@pytest.fixture(scope="module")
def float64():
    """All of a module in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def instances():
    """1,200 random and awkward instances."""
    return awkward()


@pytest.fixture(scope="session")
def near_tight():
    """1,200 instances at which the increment bound nearly is one."""
    return nearly_tight()
