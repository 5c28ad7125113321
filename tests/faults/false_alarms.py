"""How often do statistical tests fail where nothing is wrong? Runs each with 1,000 seeds and counts.

`python tests/faults/false_alarms.py [tests]` writes `false_alarms.csv`, row by row; all tests take some hours. Where
tests are named, the rows of the others stay.
Statistical are the tests that ask for `assert_mean` or are marked so. Each is run as it is, then with all seeds of
`jax.random.key` and `np.random.default_rng` shifted. A process for each core takes one test after another.

A failure at 4.5 standard errors has odds of 7e-6, too rare to count. So the scatter is looked at where it can be seen:
of the means that `assert_mean` compares, 0.27 % should lie beyond 3 standard errors if these are normal, and then the
odds of a failure are those of a normal.
"""

import contextlib
import csv
import fcntl
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from mutations import Cached
from scipy.stats import norm, t

SEEDS, MAPPED = 1000, 30_000
TABLE = Path(__file__).with_name("false_alarms.csv")
COLUMNS = ["test", "seeds", "failures", "means a run", "beyond 3", "odds of a failure a run"]


class Repeated:
    """A pytest plugin that runs each statistical test with many seeds, and none of the others.

    Tests that another process has put into the folder `taken` are left to it.
    """

    def __init__(self, taken: Path):
        self.taken = taken

    def pytest_collection_modifyitems(self, items):
        jax.config.update("jax_debug_key_reuse", False)  # the suite looks for it
        items[:] = [item for item in items if _is_statistical(item)]

    def pytest_pyfunc_call(self, pyfuncitem):
        try:
            (self.taken / pyfuncitem.nodeid.replace("/", ":")).touch(exist_ok=False)
        except FileExistsError:
            return True
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        away, limits, failures = [], [], []
        if "assert_mean" in arguments:
            arguments["assert_mean"] = _watched(arguments["assert_mean"], away, limits)
        for by in range(SEEDS):
            try:
                with _shifted(pyfuncitem.module, by):
                    pyfuncitem.obj(**arguments)
            except Exception as error:  # whatever the test raises is a failure of it
                failures.append(f"{by}: {error}".splitlines()[0])
            if by % 50 == 49 and Path("/proc/self/maps").read_text().count("\n") > MAPPED:
                jax.clear_caches()  # of functions that a test makes anew: a process may map so many programs, not more
        row = _row(pyfuncitem.nodeid, len(failures), np.array(away), np.array(limits))
        put(row)
        print(" · ".join(map(str, row)), *failures[:3], sep="\n    ", flush=True)
        return True


def _is_statistical(item) -> bool:
    return "assert_mean" in item.fixturenames or item.get_closest_marker("statistical") is not None


def _watched(assert_mean, away, limits):
    """`assert_mean`, whose distances in standard errors are kept, as a normal would have them where draws are many."""

    def check(draws, expected, k=4.5, bias=0.0):
        if not bias:
            keep(np.asarray(draws, float), expected, k)
        assert_mean(draws, expected, k, bias)

    def keep(values, expected, k):
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        distance = np.broadcast_to(np.abs(values.mean(axis=0) - expected), error.shape)
        errors = (distance[error > 0] / error[error > 0]).ravel()
        away.extend(norm.isf(t.sf(errors, len(values) - 1)).tolist())
        limits.extend([k] * int((error > 0).sum()))

    return check


@contextlib.contextmanager
def _shifted(module, by: int):
    """Where all seeds are others: those that tests name, and of the keys that their module made of some."""
    key, default_rng = jax.random.key, np.random.default_rng
    with pytest.MonkeyPatch.context() as patch:
        if by:
            patch.setattr(jax.random, "key", lambda seed, **options: key(_moved(seed, by), **options))
            patch.setattr(np.random, "default_rng", lambda seed: default_rng(seed + 10_000 * by))
            for name, value in list(vars(module).items()):
                if _is_key(value):
                    patch.setattr(module, name, _other(value, by))
        yield


def _moved(seed, by: int):
    """A traced seed is an argument of a program, one that the test drew with a seed of its own."""
    return seed if isinstance(seed, jax.core.Tracer) else seed + 10_000 * by


def _is_key(value) -> bool:
    return isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)


def _other(key, by: int):
    return jax.random.wrap_key_data(jax.random.key_data(key) + np.uint32(by))


def _row(name, failures, away, limits):
    odds = f"{2 * norm.sf(limits).sum() / SEEDS:.1e}" if len(limits) else ""
    beyond = f"{np.mean(away > 3):.2%}" if len(away) else ""
    return [name, SEEDS, failures, len(away) // SEEDS or "", beyond, odds]


def put(row):
    """Into the table, in place of the row of the same test."""
    with TABLE.open("r+", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _, *rows = csv.reader(file)
        rows = {old[0]: old for old in rows} | {row[0]: row}
        file.seek(0)
        file.truncate()
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *(rows[name] for name in sorted(rows))])


def _work(core: int, folder: Path, tests: list[str]):
    """Runs what is not yet taken of the `tests` on one core: threads of one program would be in each other's way."""
    os.sched_setaffinity(0, {core})
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=3"  # programs run more often than they are compiled
    programs, taken = folder / "programs", folder / "taken"  # a test that makes its function anew compiles it once
    options = ["-n", "0", "-q", "-s", "-p", "no:cacheprovider", "-m", "long or not long"]
    sys.exit(pytest.main([*options, *tests], plugins=[Repeated(taken), Cached(str(programs))]))


def main(tests: list[str]) -> int:
    """Runs the `tests`, all by default, and writes their rows of the table."""
    if not tests:
        TABLE.write_text(",".join(COLUMNS) + "\n")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "taken").mkdir()
        arguments = [(core, Path(folder), tests or ["tests"]) for core in sorted(os.sched_getaffinity(0))]
        workers = [context.Process(target=_work, args=each) for each in arguments]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return max(worker.exitcode for worker in workers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
