"""Tests of anything that hypothesis thinks of: a few cases, always the same ones, or many in the long version."""

import inspect

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

FEW, MANY = 60, 500  # cases of each test
LEAST = 0.9  # of them that have to be run: hypothesis may find no more that differ
ALWAYS = {
    "deadline": None, "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
}  # fmt: skip
TESTS = []


def fuzzed(*strategies):
    """The test twice, by `long`; what it takes before the values of the strategies are fixtures."""

    few = settings(max_examples=FEW, derandomize=True, phases=[Phase.generate], **ALWAYS)
    many = settings(max_examples=MANY, **ALWAYS)

    def twice(test):
        TESTS.append(test)
        fixtures = list(inspect.signature(test).parameters)[: -len(strategies)]

        def both(request, long):
            held, ran = [request.getfixturevalue(name) for name in fixtures], []

            def case(values):
                ran.append(values)
                test(*held, *values)

            (many if long else few)(given(st.tuples(*strategies))(case))()
            assert len(ran) >= LEAST * (MANY if long else FEW)

        return pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.long)])(both)

    return twice
