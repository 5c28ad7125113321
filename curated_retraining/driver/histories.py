"""The history of a run on disk: one file that only grows by records, each with a digest of all before it."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curated_retraining.driver import disks
from curated_retraining.driver.generations import History
from curated_retraining.driver.processes import RunError


class Place(NamedTuple):
    """Where a record ends, in bytes, and the SHA-256 of it and all before it."""

    end: int
    sha256: str


START = Place(0, "")


def append(path: Path, after: Place, rows: Sequence[History]) -> Place:
    """Writes the records of `rows`, `[1, cells, ...]` a metric, and cuts off what else followed `after`.

    A record is a line of JSON and the bytes of the arrays that the line tells of.

    Raises:
        RunError: where there is no room or no permission, or the file is not what it was.
    """
    try:
        with open(path, "r+b" if after.end else "wb") as file:
            if os.fstat(file.fileno()).st_size < after.end:
                raise RunError(f"{path} was cut off while the run went on: the same command goes on from what is there")
            file.seek(after.end)
            for row in rows:
                record, after = _encoded(row, after)
                file.write(record)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({disks.reason(error)}): {disks.remedy(error)}; the same command then goes on "
            "from the last checkpoint"
        ) from error
    return after


def read(path: Path) -> Iterator[tuple[History, Place]]:
    """The records from the first to the last that is whole.

    Raises:
        RunError: where the file is there and cannot be read.
    """
    place = START
    try:
        with open(path, "rb") as file:
            while (found := _decoded(file, place)) is not None:
                yield found
                place = found[1]
    except FileNotFoundError:
        return
    except OSError as error:
        raise disks.unreadable(path, error) from error


def _encoded(row: History, after: Place) -> tuple[bytes, Place]:
    arrays = {name: np.ascontiguousarray(values) for name, values in row.items()}
    kinds = {name: [values.dtype.name, values.shape] for name, values in arrays.items()}
    content = b"".join(values.tobytes() for values in arrays.values())
    sha256 = _chained(after, kinds, content)
    record = json.dumps({"arrays": kinds, "sha256": sha256}).encode() + b"\n" + content
    return record, Place(after.end + len(record), sha256)


def _decoded(file, after: Place) -> tuple[History, Place] | None:
    line = file.readline()
    try:
        told = json.loads(line)
        kinds = {name: (np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in told["arrays"].items()}
        sizes = {name: dtype.itemsize * math.prod(shape) for name, (dtype, shape) in kinds.items()}
        content = file.read(sum(sizes.values()))
        if told["sha256"] != _chained(after, told["arrays"], content):
            return None
        row, at = {}, 0
        for name, (dtype, shape) in kinds.items():
            row[name] = np.frombuffer(content[at : at + sizes[name]], dtype).reshape(shape)
            at += sizes[name]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError, RecursionError):
        return None  # of bytes that were changed
    return row, Place(after.end + len(line) + len(content), told["sha256"])


def _chained(after: Place, kinds: dict, content: bytes) -> str:
    digest = hashlib.sha256(after.sha256.encode())
    digest.update(json.dumps(kinds).encode())
    digest.update(content)
    return digest.hexdigest()
