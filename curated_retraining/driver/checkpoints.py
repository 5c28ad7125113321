"""Checkpoints: the state and the history of a generation, with a digest of both."""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.tree_util import Partial
from tqdm import tqdm

from curated_retraining.driver.folders import RunError
from curated_retraining.driver.generations import History
from curated_retraining.types import State


def newest(folder: str | os.PathLike, begin: Partial) -> State:
    """The state in the newest intact checkpoint of a run in `folder` that began with `begin`.

    Raises:
        RunError: where there is none.
    """
    with opened(Path(folder).absolute() / "checkpoints") as manager:
        found = restored(manager, jax.eval_shape(begin))
    if found is None:
        raise RunError(f"{folder} holds no checkpoint: run it first")
    return found[0]


@contextlib.contextmanager
def opened(folder: Path, keep: int | None = None) -> Iterator[ocp.CheckpointManager]:
    """The checkpoints in `folder`, of which the newest `keep` stay."""
    logger = logging.getLogger("absl")  # Orbax tells of every save
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=False
        )
        with ocp.CheckpointManager(folder, options=options) as manager:
            yield manager
    finally:
        logger.setLevel(level)


def save(manager: ocp.CheckpointManager, generation: int, state: State, history: History) -> None:
    """Keeps the state after a generation and the history up to it, whole or not at all.

    Raises:
        RunError: where there is no room or no permission.
    """
    items = ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        history=ocp.args.StandardSave(history),
        digest=ocp.args.JsonSave({"sha256": _digest(state, history)}),
    )
    try:
        manager.save(generation, args=items)
    except Exception as error:  # Orbax and its storage raise many kinds for a disk that takes no more
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RunError(
            f"the checkpoint {manager.directory}/{generation} cannot be written ({reason}): "
            "make room; the same command then goes on from the last one"
        ) from error


def restored(manager: ocp.CheckpointManager, like: State) -> tuple[State, History] | None:
    """The state and the history of the newest intact checkpoint; None where there is no checkpoint yet.

    Newer ones that are damaged are put aside, and the user is told.

    Raises:
        RunError: where all are damaged, which stay where they are.
    """
    damaged: list[int] = []
    for generation in sorted(manager.all_steps(), reverse=True):
        if (found := _intact(manager, generation, like)) is not None:
            _put_aside(manager, damaged, generation)
            return found
        damaged.append(generation)
    if damaged:
        raise RunError(
            f"the checkpoint {manager.directory}/{damaged[0]} is damaged or another program's, and no older one is "
            "intact: remove that folder of checkpoints to begin again, or choose another folder"
        )
    return None


def _intact(manager: ocp.CheckpointManager, generation: int, like: State) -> tuple[State, History] | None:
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), like)
    items = ocp.args.Composite(
        state=ocp.args.StandardRestore(like),
        history=ocp.args.StandardRestore(),
        digest=ocp.args.JsonRestore(),
    )
    try:
        found = manager.restore(generation, args=items)
        history = jax.tree.map(np.asarray, found["history"])
        intact = found["digest"] == {"sha256": _digest(found["state"], history)}
    except Exception:  # Orbax and its storage raise many kinds for a damaged folder
        return None
    return (found["state"], history) if intact else None


def _put_aside(manager: ocp.CheckpointManager, damaged: list[int], intact: int) -> None:
    aside = Path(manager.directory).parent / "damaged"
    for generation in damaged:
        aside.mkdir(exist_ok=True)
        place = aside / f"{generation}-{len(list(aside.iterdir()))}"
        os.rename(Path(manager.directory) / str(generation), place)
        tqdm.write(
            f"the checkpoint of generation {generation} is damaged: it is now {place}, and generation {intact} is used"
        )
    if damaged:
        manager.reload()


def _digest(state: State, history: History) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path((jax.tree.leaves(state), history)):
        leaf = np.asarray(leaf)
        digest.update(f"{path}{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
