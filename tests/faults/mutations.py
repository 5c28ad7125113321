"""Does the suite see faults? Plants each of `planted.txt` in a copy of the package and runs the tests that should fail.

`python tests/faults/mutations.py [parts of "module: old text"]` says of each fault whether it was caught. It takes
minutes and is no test of the suite, which only looks whether the list still fits the package (`test_planted.py`).
"""

import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 300  # CPU seconds of one fault: a loop without an end is caught by it


class Fault(NamedTuple):
    """What is changed, and which tests must see it."""

    module: str  # within `curated_retraining`
    old: str
    new: str
    tests: tuple[str, ...]


def planted() -> list[Fault]:
    """The faults of `planted.txt`."""
    faults, module, tests, old = [], "", (), ""
    for line in Path(__file__).with_name("planted.txt").read_text().splitlines():
        mark, text = line[:1], line[2:]
        if mark == "@":
            module, names = text.split(" | ")
            tests = tuple(names.split())
        elif mark == "-":
            old = text
        elif mark == "+":
            faults.append(Fault(module, old, text, tests))
    return faults


def main(*parts: str) -> int:
    """Prints a line a fault and the sum; the exit status is that of all having been caught."""
    escaped = []
    with tempfile.TemporaryDirectory() as folder:
        copy, programs, before = Path(folder) / "copy", f"{folder}/programs", os.getcwd()
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "runs"))
        sys.path[:] = [str(copy), *(path for path in sys.path if Path(path or before) != ROOT)]
        os.chdir(copy)
        _prepare()
        faults = [
            fault for fault in planted() if any(part in f"{fault.module}: {fault.old}" for part in parts or ("",))
        ]
        for tests in sorted({fault.tests for fault in faults}):
            result = _passes(tests, programs)
            print(f"{result}, unchanged: {' '.join(tests)}", flush=True)
            if result != "pass":
                sys.exit(f"these tests fail without a fault, as {copy}/log said: they would catch anything")
        for fault in faults:
            path = copy / "curated_retraining" / fault.module
            whole = path.read_text()
            path.write_text(whole.replace(fault.old, fault.new))
            result = _passes(fault.tests, programs)
            path.write_text(whole)
            print(f"{result}, {fault.module}: {fault.old} -> {fault.new}", flush=True)
            if result != "fail":
                escaped.append(fault)
        os.chdir(before)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{len(faults) - len(escaped)} of {len(faults)} caught in {used.ru_utime + used.ru_stime:.0f} CPU seconds")
    return bool(escaped)


def _prepare() -> None:
    """What all runs share: imports that are not ours."""
    os.environ["PYTHONPATH"] = os.getcwd()  # of processes that tests start
    sys.dont_write_bytecode = True  # a module may change twice in a second
    import flax.linen  # noqa: F401
    import hypothesis  # noqa: F401
    import optax  # noqa: F401
    import orbax.checkpoint  # noqa: F401
    import scipy.stats  # noqa: F401


class Cached:
    """A pytest plugin that keeps compiled programs in `folder`, though `conftest.py` keeps none."""

    def __init__(self, folder: str):
        self.folder = folder

    def pytest_configure(self, config):
        import jax

        jax.config.update("jax_enable_compilation_cache", True)
        jax.config.update("jax_compilation_cache_dir", self.folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _passes(tests: tuple[str, ...], programs: str) -> str:
    """`pass` or `fail`, or what else became of a run of tests in a process of its own."""
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
        for stream in (1, 2):
            os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=line", "--rootdir=."]
        os._exit(pytest.main([*options, *tests], plugins=[Cached(programs)]))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "pass", 1: "fail"}.get(status, f"no result ({status})")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
