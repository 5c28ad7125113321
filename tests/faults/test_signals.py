"""A run that is told to stop, and what it says where there is nobody to say it to."""

import contextlib
import errno
import os
import signal
import sys

import pytest
from tiny import go, steps

from curated_retraining.driver import RunError, checkpoints, interrupts


@contextlib.contextmanager
def handled(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def at(monkeypatch, generation, action):
    """Acts when that generation has been saved."""
    save = checkpoints.save

    def watched(manager, saved, *args):
        save(manager, saved, *args)
        if saved == generation:
            action()

    monkeypatch.setattr(checkpoints, "save", watched)


def test_a_signal_in_the_last_generation_ends_the_program_and_the_run_is_whole(tmp_path, monkeypatch):
    at(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGINT))
    with handled(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    assert steps(tmp_path) == [0, 1, 2] and len((tmp_path / "metrics.csv").read_text().splitlines()) == 7


def test_a_signal_while_a_complete_run_is_read_comes_after_it(tmp_path, monkeypatch):
    go(tmp_path)
    restored, came = checkpoints.restored, []

    def signalled(*args):
        signal.raise_signal(signal.SIGTERM)
        return restored(*args)

    monkeypatch.setattr(checkpoints, "restored", signalled)
    with handled(signal.SIGTERM, lambda number, frame: came.append(number)):
        go(tmp_path)
    assert came == [signal.SIGTERM]


def test_a_signal_that_is_ignored_stays_so(tmp_path, monkeypatch):
    at(monkeypatch, 0, lambda: signal.raise_signal(signal.SIGINT))
    with handled(signal.SIGINT, signal.SIG_IGN):
        assert go(tmp_path)["reward_mean"].shape == (3, 2)


def test_a_signal_is_held_where_nobody_reads_any_more(tmp_path, monkeypatch):
    class Broken:
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

        flush = write

    def stop():
        monkeypatch.setattr(sys, "stdout", Broken())
        signal.raise_signal(signal.SIGTERM)

    at(monkeypatch, 0, stop)
    with pytest.raises(RunError, match="stopped by SIGTERM after generation 1"):
        go(tmp_path)
    assert steps(tmp_path) == [0, 1]


def test_without_a_terminal_there_is_no_progress_to_show(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert go(tmp_path)["reward_mean"].shape == (3, 2)


def test_text_is_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    opened, asked = open, []

    def watched(path, mode="r", *args, **options):
        asked.append("b" in mode or options.get("encoding") == "utf-8" or str(path).endswith(".lock"))
        return opened(path, mode, *args, **options)

    monkeypatch.setattr("curated_retraining.driver.folders.open", watched, raising=False)
    go(tmp_path, cells=[{"λ": "∞"}, {"λ": "1"}])
    assert len(asked) >= 3 and all(asked)
    assert (tmp_path / "metrics.csv").read_bytes().decode().startswith("λ,generation")


def test_a_signal_in_the_last_generation_leaves_a_whole_run(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupts, "held", lambda: contextlib.nullcontext(lambda: signal.SIGTERM))
    assert go(tmp_path, generations=0)["reward_mean"].shape == (1, 2)
    with pytest.raises(RunError, match="stopped by SIGTERM after generation 1"):
        go(tmp_path, generations=2)
