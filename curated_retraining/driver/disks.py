"""What a disk or a memory refuses, in words: it is no damage, and nothing is lost by it."""

import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from curated_retraining.driver.processes import RunError

NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.ESTALE}


def reason(error: BaseException) -> str:
    """One line of what an error says."""
    return getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "") or type(error).__name__


def remedy(error: BaseException) -> str:
    """What helps where something cannot be written."""
    return "make room" if _number(error) in NO_ROOM else "see that it can be"


def refusal(error: BaseException, folder: Path) -> BaseException | None:
    """Why what is in the folder could not be read, as `error` says, if it may still be intact; else None.

    Orbax takes files that it may not open for missing ones, so they are read once more.
    """
    if _is_refusal(error):
        return error
    try:
        _read_all(folder)
    except OSError as other:
        return other if _is_refusal(other) else None
    return None


def listed(folder: Path) -> list[str]:
    """The names in a folder; none where it is missing.

    Raises:
        RunError: where it cannot be read.
    """
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def unreadable(path: Path, error: BaseException) -> RunError:
    """What is told of a file or folder that may be intact and cannot be read."""
    return RunError(
        f"{path} cannot be read ({reason(error)}): nothing was changed, and the same command goes on once it can be"
    )


def aside(path: Path, folder: Path) -> Path:
    """Moves a file or folder into `folder`, and returns its new path: the first with a free number.

    Raises:
        RunError: where it cannot be moved.
    """
    try:
        folder.mkdir(exist_ok=True)
        numbered = (folder / f"{path.name}-{number}" for number in itertools.count())
        place = next(place for place in numbered if not os.path.lexists(place))
        shutil.move(path, place)  # also to another file system
    except OSError as error:
        raise RunError(
            f"{path} cannot be used nor put aside to {folder} ({reason(error)}): "
            "move it elsewhere, and the same command goes on"
        ) from error
    return place


def _is_refusal(error: BaseException) -> bool:
    without_memory = any(isinstance(each, MemoryError) or "RESOURCE_EXHAUSTED" in str(each) for each in _chain(error))
    return without_memory or _number(error) in REFUSED


def _number(error: BaseException) -> int | None:
    """The system's number of an error; Orbax's storage has it in its text alone."""
    for each in _chain(error):
        if number := getattr(each, "errno", None):
            return number
        if told := re.search(r"(?:OS error |os_error_code=')(\d+)", str(each)):
            return int(told[1])
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _read_all(folder: Path) -> None:
    def fail(error):
        raise error

    for where, _, names in os.walk(folder, onerror=fail):
        for name in names:
            with open(Path(where) / name, "rb") as file:
                while file.read(2**20):
                    pass
