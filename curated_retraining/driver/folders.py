"""Folders of results: each belongs to one set of settings and to one process at a time, its files are whole."""

import contextlib
import fcntl
import functools
import importlib.metadata
import io
import itertools
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from curated_retraining.driver import disks
from curated_retraining.driver.generations import Cells, spelled
from curated_retraining.driver.processes import RunError, by_first, first, together


@contextlib.contextmanager
def claimed(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    cells: Cells | None = None,
    begun: Callable[[], bool] = lambda: True,
) -> Iterator[Callable[[], None]]:
    """Holds the folder for this process, these settings and these cells, if there are any: `config.json` names them.

    As long as no run there has `begun`, the folder takes any. What it yields raises `RunError` where the folder has
    been taken away since. Of several processes, which share their files, the first holds it for all.

    Raises:
        ValueError: where a setting is no JSON.
        RunError: where the folder is not writable, in use or another run's.
    """
    config: dict[str, Any] = {"flags": {name: _as_json(name, value) for name, value in settings.items()}}
    if cells is not None:
        config["cells"] = [spelled(cell) for cell in cells]
    with contextlib.ExitStack() as stack:
        require_ours = together(lambda: stack.enter_context(_held(folder, config, begun)) if first() else _nothing)
        yield lambda: by_first(require_ours)


def write(path: Path, text: str) -> None:
    """Writes the whole file or none of it, also where the process is killed; of several processes the first does.

    Raises:
        RunError: where there is no room or no permission.
    """
    by_first(functools.partial(_write, path, text))


def recorded(folder: Path) -> dict[str, Any] | None:
    """What `config.json` in the folder holds; None where there is none.

    Raises:
        RunError: where it cannot be read or is no run's.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({disks.reason(error)}): choose another folder") from error
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("flags"), dict):
        raise RunError(f"{path} is not a run's config: choose another folder")
    return config


def absolute(folder: str | os.PathLike) -> Path:
    """The path of a run's folder from the root.

    Raises:
        RunError: where there is none, or checkpoints cannot lie there.
    """
    try:
        path = Path(folder).absolute()
    except OSError as error:
        raise RunError(
            f"{folder} is in a folder that was removed ({disks.reason(error)}): change to another"
        ) from error
    if found := sorted(set("[*?") & set(str(path))):  # Orbax looks for the parts of a checkpoint by a pattern
        raise RunError(
            f"{path} would be a pattern for other paths, by its {found[0]}: choose a folder without [, * and ?"
        )
    return path


@contextlib.contextmanager
def _held(folder: Path, config: dict[str, Any], begun: Callable[[], bool]) -> Iterator[Callable[[], None]]:
    with _lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder} is in use by another process: wait for it or choose another folder") from error
        except OSError as error:
            raise RunError(
                f"{folder} cannot be held for one process ({disks.reason(error)}): choose a folder on another disk"
            ) from error
        found, environment = recorded(folder), {"versions": _versions(), "device": jax.devices()[0].device_kind}
        if found is not None and begun():
            _require_same(folder, found, config)
            _tell_changes(folder, found, environment)
            config = found | config  # its cells may be new: those of an older version are not told
        else:
            config |= environment
        if config != found:
            _write(folder / "config.json", json.dumps(config, indent=2) + "\n")
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
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else the new name may outlive a power cut and the content not
        os.replace(partial, path)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({disks.reason(error)}): {disks.remedy(error)} or choose another folder"
        ) from error


def _lock_file(folder: Path) -> io.TextIOBase:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / ".lock", "a")
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({disks.reason(error)}): choose another folder") from error


def _require_ours(folder: Path, lock: io.TextIOBase) -> None:
    """Another process may hold the folder once its lock is another file."""
    try:
        ours = os.path.samestat(os.fstat(lock.fileno()), os.stat(folder / ".lock"))
    except FileNotFoundError:
        ours = False
    if not ours:
        raise RunError(f"{folder} was removed or replaced while the run went on: run the same command again")


def _require_same(folder: Path, found: dict[str, Any], given: dict[str, Any]) -> None:
    flags, others = found["flags"], given["flags"]
    pairs = [(name, flags.get(name), others.get(name)) for name in sorted(flags.keys() | others.keys())]
    if "cells" in found and "cells" in given:
        pairs.append(("cells", found["cells"], given["cells"]))
    for name, was, now in itertools.chain.from_iterable(itertools.starmap(_differences, pairs)):
        raise RunError(
            f"{folder} holds a run with {name}={_short(was)}, not {_short(now)}: choose another folder or give that "
            "back"
        )


def _tell_changes(folder: Path, found: dict[str, Any], now: dict[str, Any]) -> None:
    """Other versions may round otherwise, and a loop goes on from every last digit."""
    parts = itertools.chain.from_iterable(_differences(name, found.get(name), now[name]) for name in now)
    if told := ", ".join(f"{name}={_short(was)}, now {_short(is_)}" for name, was, is_ in parts):
        tqdm.write(f"{folder} was begun with {told}: generations from here on may differ from those of one environment")


def _differences(name: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """The parts of two JSON values that differ, by their names; NaN is what NaN was."""
    if was == now or json.dumps(was) == json.dumps(now):
        return
    if isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        for key in was:
            yield from _differences(f"{name}.{key}", was[key], now[key])
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from _differences(f"{name}[{index}]", *pair)
    else:
        yield name, was, now


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + " …"


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
