"""How often do whole experiments miss their exact twins where nothing is wrong? Plays each with many seeds and counts.

`PYTHONPATH=.:tests python tests/faults/false_alarms_of_runs.py [parts of tests' names]` plays an experiment once by the
flags of its test, but with the seeds of 1,000 such tests, takes the tables apart by seeds, judges each part as the test
does, and puts a row into `false_alarms.csv`. All take half an hour.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import test_compared
import test_experiments
import test_experiments_alignment
import test_experiments_crowd
import test_experiments_detection
import test_experiments_preferences
import test_forecast_skill
import test_two_models
from commands import command
from false_alarms import SEEDS, put
from twins import near_twins, rows

from experiments import alignment


class Played(NamedTuple):
    """An experiment as a test plays it."""

    test: str
    play: Callable[..., Any]  # takes more flags
    judged: dict[tuple[str, ...], Callable[..., None]]  # by tables: what the test asserts of their rows
    seeds: int = 2  # of the test


def process(name: str, flags: list[str], *more: str) -> None:
    subprocess.run([sys.executable, "-m", f"experiments.{name}", *flags, *more], check=True, stdout=subprocess.DEVNULL)


def of_alignment(*flags: str) -> None:
    with command(alignment.run) as called:
        test_experiments_alignment.on_finite(called, *flags)


def twins(near: dict[str, dict[str, float]], name: str = "exact.csv") -> dict[tuple[str, ...], Callable[..., None]]:
    """What a test asserts that asks for `assert_twins`, by folder."""
    return {(f"{part}/metrics.csv", f"{part}/{name}"): partial(near_twins, near=each) for part, each in near.items()}


EVERY = [
    Played(
        "tests/test_experiments.py::test_a_run_leaves_numbers_and_figures",
        partial(process, "gmm", test_experiments.SMALL),
        twins({".": test_experiments.NEAR}),
    ),
    Played(
        "tests/test_experiments_alignment.py::test_a_run_leaves_numbers_and_the_figure",
        of_alignment,
        twins(test_experiments_alignment.NEAR),
    ),
    Played(
        "tests/test_experiments_crowd.py::test_crowds_leave_a_folder_a_k_tables_and_figures",
        partial(process, "crowd", test_experiments_crowd.CROWD),
        twins(test_experiments_crowd.NEAR_CROWD),
        seeds=1,
    ),
    Played(
        "tests/test_experiments_crowd.py::test_adversaries_leave_two_parts_tables_and_figures",
        partial(process, "adversary", test_experiments_crowd.ADVERSARY),
        twins(test_experiments_crowd.NEAR_ADVERSARY),
        seeds=1,
    ),
    *(
        Played(
            f"tests/test_experiments_preferences.py::test_a_run_leaves_numbers_checkpoints_and_figures[{name}]",
            partial(process, name, flags),
            twins(test_experiments_preferences.NEAR[name]),
        )
        for name, flags in test_experiments_preferences.SMALL.items()
    ),
    Played(
        "tests/test_compared.py::test_strategies_leave_numbers_a_table_and_a_figure",
        partial(process, "strategies", test_compared.STRATEGIES),
        twins({".": test_compared.NEAR}),
    ),
    Played(
        "tests/test_two_models.py::test_a_run_leaves_numbers_and_figures",
        partial(process, "two_models", test_two_models.SMALL),
        twins({"ring": test_two_models.NEAR}),
    ),
    Played(
        "tests/test_forecast_skill.py::test_a_small_run_is_judged",
        partial(process, "forecast_skill", test_forecast_skill.SMALL),
        twins({"ring-gmm": test_forecast_skill.NEAR}, "foretold.csv")
        | {("skill.csv",): test_forecast_skill.small_errors},  # of all seeds at once
    ),
    Played(
        "tests/test_experiments_detection.py::test_loops_are_played_judged_and_compared_with_the_truth",
        partial(process, "detection", test_experiments_detection.LOOPS),
        {("detection.csv",): test_experiments_detection.held},
    ),
]


def main(*parts: str) -> None:
    """Plays the experiments of the tests whose names have one of the `parts`, all by default."""
    for played in EVERY:
        if any(part in played.test for part in parts or ("",)):
            with tempfile.TemporaryDirectory() as folder:
                with contextlib.redirect_stdout(None):
                    played.play(f"--seeds={SEEDS * played.seeds}", f"--out={folder}/run")
                failed = dict(failures(Path(folder) / "run", played))
            row = [played.test, SEEDS, len(failed), "", "", ""]
            put(row)
            print(" · ".join(map(str, row)), *list(failed.items())[:3], sep="\n    ", flush=True)


def failures(out: Path, played: Played) -> Iterator[tuple[int, str]]:
    """Which of the tests would have failed, and where."""
    for names, judge in played.judged.items():
        tables = zip(*(apart(rows(out / name), played.seeds) for name in names), strict=True)
        for test, table in enumerate(tables):
            try:
                judge(*table)
            except AssertionError as error:
                yield test, str(error)


def apart(table: list[dict[str, str]], seeds: int) -> list[list[dict[str, str]]]:
    """The rows of each test; all where they are of no seed."""
    if "seed" not in table[0]:
        return [table] * SEEDS
    tests = [[] for _ in range(SEEDS)]
    for row in table:
        tests[int(row["seed"]) // seeds].append(row)
    return tests


if __name__ == "__main__":
    main(*sys.argv[1:])
