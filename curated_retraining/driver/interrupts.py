"""Ctrl-C and SIGTERM while a run goes on: the generation is finished and kept, then the run stops."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from tqdm import tqdm

from curated_retraining.driver.processes import largest


@contextlib.contextmanager
def held() -> Iterator[Callable[[], signal.Signals | None]]:
    """Holds back the first SIGINT or SIGTERM; what it yields says which has come, if one has, to any of the processes.

    A second one acts at once, as it would have without this, and the first does at the end, where no error has stopped
    the run for it. Signals that the process ignores stay ignored. Only the main thread of a process can hold signals:
    in another nothing is held back.
    """
    came: list[signal.Signals] = []
    before = {}

    def note(number, frame):
        del frame
        came.append(signal.Signals(number))
        for each, handler in before.items():
            signal.signal(each, handler)
        with contextlib.suppress(OSError, ValueError):  # a reader such as `tee` may have been stopped as well
            tqdm.write(f"{came[0].name}: the run stops when this generation is kept; once more stops it now")

    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, note)
    try:
        yield lambda: _in_any(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if number := _in_any(came):  # it came too late to stop this run, not what the process would do next
        signal.raise_signal(number)


def _in_any(came: list[signal.Signals]) -> signal.Signals | None:
    number = int(largest(came[0] if came else 0))
    return signal.Signals(number) if number else None
