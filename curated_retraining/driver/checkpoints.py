"""Checkpoints: the state after a generation, with a digest of it and of the history up to it."""

import contextlib
import functools
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.tree_util import Partial
from tqdm import tqdm

from curated_retraining.driver import disks, histories
from curated_retraining.driver.folders import absolute
from curated_retraining.driver.generations import History, placed
from curated_retraining.driver.histories import Place
from curated_retraining.driver.processes import RunError, by_first, largest, together, whole
from curated_retraining.types import State

HISTORY = "history.bin"
ASIDE = "damaged"


class Kept(NamedTuple):
    """What a run goes on from."""

    state: State
    rows: list[History]  # one a generation
    place: Place  # where the history on disk goes on


def newest(folder: str | os.PathLike, begin: Partial, sharding: Any = None) -> State:
    """The state in the newest intact checkpoint of a run in `folder` that began with `begin`.

    It lies on devices as `sharding` says (see `drive`), by default on one.

    Raises:
        RunError: where there is none.
    """
    folder = absolute(folder)
    with opened(folder / "checkpoints") as manager:
        found = restored(manager, folder / HISTORY, jax.eval_shape(begin), sharding)
    if found is None:
        raise RunError(f"{folder} holds no checkpoint: run it first")
    return found.state


@contextlib.contextmanager
def opened(folder: Path, keep: int | None = None) -> Iterator[ocp.CheckpointManager]:
    """The checkpoints in `folder`, of which the newest `keep` stay.

    Raises:
        RunError: where there cannot be any.
    """
    logger = logging.getLogger("absl")  # Orbax tells of every save
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with together(functools.partial(_manager, folder, keep)) as manager:
            yield manager
    finally:
        logger.setLevel(level)


def _manager(folder: Path, keep: int | None) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=False
    )
    try:
        manager = ocp.CheckpointManager(folder, options=options)
        os.listdir(folder)  # Orbax takes what it may not list, or a file, for no checkpoints
    except OSError as error:
        raise disks.unreadable(folder, error) from error
    return manager


def save(manager: ocp.CheckpointManager, generation: int, state: State, history: Place) -> None:
    """Keeps the state after a generation, whole or not at all; its history is on disk already, up to `history`.

    Raises:
        RunError: where there is no room or no permission.
    """
    on_host = jax.tree.map(whole, state)  # of arrays on devices, Orbax's storage leaks 20 kB a save
    items = ocp.args.Composite(
        state=ocp.args.StandardSave(on_host),
        digest=ocp.args.JsonSave({"state": _digest(on_host), "history": history.sha256}),
    )
    together(lambda: _save(manager, generation, items))


def _save(manager: ocp.CheckpointManager, generation: int, items: ocp.args.Composite) -> None:
    try:
        manager.save(generation, args=items)
    except Exception as error:  # Orbax and its storage raise many kinds for a disk that takes no more
        raise RunError(
            f"the checkpoint {manager.directory}/{generation} cannot be written ({disks.reason(error)}): "
            f"{disks.remedy(error)}; the same command then goes on from the last one"
        ) from error


def prune(manager: ocp.CheckpointManager, keep: int) -> None:
    """Removes all but the newest `keep`, of which one is intact: a process may have been killed when it was about to.

    Raises:
        RunError: where one cannot be removed.
    """
    for generation in sorted(manager.all_steps())[:-keep]:
        together(functools.partial(_remove, manager, generation))


def _remove(manager: ocp.CheckpointManager, generation: int) -> None:
    try:
        manager.delete(generation)
    except OSError as error:
        raise RunError(
            f"the checkpoint {manager.directory}/{generation} cannot be removed ({disks.reason(error)}): see that it "
            "can be, or give a larger keep"
        ) from error


def restored(manager: ocp.CheckpointManager, history: Path, like: State, sharding: Any = None) -> Kept | None:
    """What the newest intact checkpoint and the file `history` hold; None where there is no checkpoint yet.

    Newer ones that are damaged, or whose history is, are put aside, and the user is told.

    Raises:
        RunError: where all are damaged, which stay where they are, or one that may be intact cannot be read.
    """
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = placed(like, here if sharding is None else sharding)
    records = together(lambda: list(histories.read(history)))
    damaged: dict[int, str] = {}
    for generation in sorted(manager.all_steps(), reverse=True):
        found = _intact(manager, generation, like)
        if found is None:
            damaged[generation] = "is damaged"
        elif generation >= len(records) or records[generation][1].sha256 != found[1]:
            damaged[generation] = f"stands on a history that is damaged ({history.name})"
        else:
            _put_aside(manager, damaged, generation)
            rows = [row for row, _ in records[: generation + 1]]
            return Kept(found[0], rows, records[generation][1])
    if damaged:
        generation, what = next(iter(damaged.items()))
        raise RunError(
            f"the checkpoint {manager.directory}/{generation} {what} or another program's, and no older one is "
            "intact: remove that folder of checkpoints to begin again, or choose another folder"
        )
    return None


def _intact(manager: ocp.CheckpointManager, generation: int, like: State) -> tuple[State, str] | None:
    """The state and the digest of the history up to it."""
    read = together(functools.partial(_read, manager, generation, like))
    if largest(read is None) or read is None:  # in one process, perhaps
        return None
    found, told = read
    return (found, told["history"]) if told["state"] == _digest(found) else None


def _read(manager: ocp.CheckpointManager, generation: int, like: State) -> tuple[State, dict[str, str]] | None:
    """The state and the digests beside it, if the checkpoint holds them."""
    items = ocp.args.Composite(state=ocp.args.StandardRestore(like), digest=ocp.args.JsonRestore())
    try:
        read = manager.restore(generation, args=items)
        return read["state"], {name: str(read["digest"][name]) for name in ("state", "history")}
    except Exception as error:  # Orbax and its storage raise many kinds for a damaged folder
        folder = Path(manager.directory) / str(generation)
        if refusal := disks.refusal(error, folder):
            raise disks.unreadable(folder, refusal) from error
        return None


def _put_aside(manager: ocp.CheckpointManager, damaged: dict[int, str], intact: int) -> None:
    folder = Path(manager.directory)

    def put(generation: int, what: str) -> None:
        place = disks.aside(folder / str(generation), folder.parent / ASIDE)
        tqdm.write(
            f"the checkpoint of generation {generation} {what}: it is now {place}, and generation {intact} is used"
        )

    for each in damaged.items():
        by_first(functools.partial(put, *each))
    if damaged:
        manager.reload()


def _digest(state: State) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.tree.leaves(state)):
        leaf = whole(leaf)
        digest.update(f"{path}{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
