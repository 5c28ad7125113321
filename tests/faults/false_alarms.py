"""How often do statistical tests fail where nothing is wrong? Runs them with many seeds and counts.

`python tests/faults/false_alarms.py [tests]` writes `false_alarms.csv`; it takes three quarters of an
hour. Where tests are named, the rows of the others stay.
Statistical are the tests that ask for `assert_mean` or are marked so. Each is run as it is, then with all seeds of
`jax.random.key` and `np.random.default_rng` shifted: 1,000 times in all where `BUDGET` allows it, else less often.

A failure at 4.5 standard errors has odds of 7e-6, too rare to count. So the scatter is looked at where it can be seen:
of the means that `assert_mean` compares, 0.27 % should lie beyond 3 standard errors if these are normal, and then the
odds of a failure are those of a normal.
"""

import contextlib
import csv
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from mutations import Cached
from scipy.stats import norm

SEEDS, LEAST, BUDGET = 1000, 5, 30.0  # seeds of a test at most and at least, and the CPU seconds of one test
TABLE = Path(__file__).with_name("false_alarms.csv")
COLUMNS = ["test", "seeds", "failures", "means a run", "beyond 3", "odds of a failure a run"]


class Repeated:
    """A pytest plugin that runs each statistical test with many seeds, and none of the others."""

    def __init__(self):
        self.rows = []

    def pytest_collection_modifyitems(self, items):
        jax.config.update("jax_debug_key_reuse", False)  # the suite looks for it
        items[:] = [item for item in items if _is_statistical(item)]

    def pytest_pyfunc_call(self, pyfuncitem):
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        away, limits, failures = [], [], []
        if "assert_mean" in arguments:
            arguments["assert_mean"] = _watched(arguments["assert_mean"], away, limits)
        done, planned, began = 0, SEEDS, time.process_time()
        while done < planned:
            try:
                with _shifted(pyfuncitem.module, done):
                    pyfuncitem.obj(**arguments)
            except Exception as error:  # whatever the test raises is a failure of it
                failures.append(f"{done}: {error}".splitlines()[0])
            done += 1
            if done == 2:
                planned, began, done = _affordable(time.process_time() - began), time.process_time(), 2
            elif done < 2:
                began = time.process_time()  # the first run compiles
        self.rows.append(_row(pyfuncitem.nodeid, done, failures, np.array(away), np.array(limits)))
        print(*self.rows[-1], *failures[:3], sep="\n    ", flush=True)
        return True


def _is_statistical(item) -> bool:
    return "assert_mean" in item.fixturenames or item.get_closest_marker("statistical") is not None


def _affordable(seconds: float) -> int:
    return next((n for n in (SEEDS, 300, 100, 30, 10) if n * seconds <= BUDGET), LEAST)


def _watched(assert_mean, away, limits):
    """`assert_mean`, whose distances in standard errors are kept."""

    def check(draws, expected, k=4.5):
        values = np.asarray(draws, float)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        distance = np.broadcast_to(np.abs(values.mean(axis=0) - expected), error.shape)
        away.extend((distance[error > 0] / error[error > 0]).ravel().tolist())
        limits.extend([k] * int((error > 0).sum()))
        assert_mean(draws, expected, k)

    return check


@contextlib.contextmanager
def _shifted(module, by: int):
    """Where all seeds are others: those that tests name, and of the keys that their module made of some."""
    key, default_rng = jax.random.key, np.random.default_rng
    with pytest.MonkeyPatch.context() as patch:
        if by:
            patch.setattr(jax.random, "key", lambda seed, **options: key(seed + 10_000 * by, **options))
            patch.setattr(np.random, "default_rng", lambda seed: default_rng(seed + 10_000 * by))
            for name, value in list(vars(module).items()):
                if _is_key(value):
                    patch.setattr(module, name, _other(value, by))
        yield


def _is_key(value) -> bool:
    return isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)


def _other(key, by: int):
    return jax.random.wrap_key_data(jax.random.key_data(key) + np.uint32(by))


def _row(name, seeds, failures, away, limits):
    odds = f"{2 * norm.sf(limits).sum() / seeds:.1e}" if len(limits) else ""
    beyond = f"{np.mean(away > 3):.2%}" if len(away) else ""
    return [name, seeds, len(failures), len(away) // seeds or "", beyond, odds]


def main(arguments: list[str]) -> int:
    """Runs the tests that `arguments` name, all by default, and writes their rows of the table."""
    plugin = Repeated()
    with TABLE.open(newline="") as file:
        before = {row[0]: row for row in csv.reader(file)} if arguments else {}
    options = ["-n", "0", "-q", "-s", "-p", "no:cacheprovider", "-m", "long or not long"]
    with tempfile.TemporaryDirectory() as programs:  # a test that makes its function anew compiles it once all the same
        status = pytest.main([*options, *(arguments or ["tests"])], plugins=[plugin, Cached(programs)])
    before.pop(COLUMNS[0], None)
    rows = before | {row[0]: row for row in plugin.rows}
    with TABLE.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *(rows[name] for name in sorted(rows))])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
