"""Folders of results: each belongs to one set of settings and to one process at a time, its files are whole."""

import contextlib
import fcntl
import functools
import importlib.metadata
import io
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from curated_retraining.driver.processes import RunError, by_first, first, together


@contextlib.contextmanager
def claimed(folder: Path, settings: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
    """Holds the folder for this process and these settings, which `config.json` in it names.

    What it yields raises `RunError` where the folder has been taken away since. Of several processes, which share their
    files, the first holds it for all.

    Raises:
        ValueError: where a setting is no JSON.
        RunError: where the folder is not writable, in use or another run's.
    """
    given = {name: _as_json(name, value) for name, value in settings.items()}
    with contextlib.ExitStack() as stack:
        require_ours = together(lambda: stack.enter_context(_held(folder, given)) if first() else _nothing)
        yield lambda: by_first(require_ours)


def write(path: Path, text: str) -> None:
    """Writes the whole file or none of it, also where the process is killed; of several processes the first does.

    Raises:
        RunError: where there is no room or no permission.
    """
    by_first(functools.partial(_write, path, text))


@contextlib.contextmanager
def _held(folder: Path, given: dict[str, Any]) -> Iterator[Callable[[], None]]:
    with _lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"{folder} is in use by another process: wait for it or choose another folder") from error
        path = folder / "config.json"
        if path.exists():
            _require_same(path, given)
        else:
            config = {"flags": given, "versions": _versions(), "device": jax.devices()[0].device_kind}
            _write(path, json.dumps(config, indent=2) + "\n")
        yield functools.partial(_require_ours, folder, lock)


def _as_json(name: str, value: Any) -> Any:
    """`value` as it is read again."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"settings: {name}={value!r} is no JSON ({error}): give numbers of Python, as .item() or .tolist() does"
        ) from error


def _nothing() -> None:
    pass


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text)
        os.replace(partial, path)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): make room or choose another folder") from error


def _lock_file(folder: Path) -> io.TextIOBase:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / ".lock", "a")
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}): choose another folder") from error


def _require_ours(folder: Path, lock: io.TextIOBase) -> None:
    """Another process may hold the folder once its lock is another file."""
    try:
        ours = os.path.samestat(os.fstat(lock.fileno()), os.stat(folder / ".lock"))
    except FileNotFoundError:
        ours = False
    if not ours:
        raise RunError(f"{folder} was removed or replaced while the run went on: run the same command again")


def _require_same(path: Path, given: dict) -> None:
    try:
        flags = json.loads(path.read_text())["flags"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not a run's config: choose another folder") from error
    for name in sorted(flags.keys() | given.keys()):
        if flags.get(name) != given.get(name):
            was, now = (json.dumps(values.get(name)) for values in (flags, given))
            raise RunError(
                f"{path.parent} holds a run with {name}={was}, not {now}: choose another folder or give that back"
            )


def _versions() -> dict[str, str]:
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
