"""Parameters in one file: written whole or not at all, read back only into what they were written for."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from curated_retraining.types import State

OTHERWISE = "name another file, or delete this one"


def save(path: str | Path, params: State, settings: Mapping[str, Any]) -> None:
    """Writes a pytree of arrays, and the `settings` (JSON values) that it depends on, to the `.npz` file `path`.

    Raises:
        ValueError: where a leaf has no dtype of NumPy's own, such as bfloat16, or the file cannot be written.
    """
    path = Path(path)
    arrays = {name: np.asarray(leaf) for name, leaf in _by_name(params).items()}
    for name, leaf in arrays.items():
        if leaf.dtype.kind not in "biufc":
            raise ValueError(f"{path} cannot hold {name} of {leaf.dtype}: cast it to float32")
    text = json.dumps(dict(settings), sort_keys=True)
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                np.savez(file, allow_pickle=False, settings=text, **arrays)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error}") from error


def load(path: str | Path, like: State, settings: Mapping[str, Any]) -> State:
    """The pytree that `save` wrote, in the structure of `like` (arrays or their shapes, as of `jax.eval_shape`).

    Raises:
        ValueError: where the file is damaged, was written under other `settings`, or holds other arrays than `like`.
            The file stays as it was.
    """
    made_with, arrays = _read(Path(path))
    wanted = json.loads(json.dumps(dict(settings)))
    for name in sorted(made_with.keys() | wanted.keys()):
        if made_with.get(name) != wanted.get(name):
            raise ValueError(
                f"{path} was made with {name}={made_with.get(name)!r}, not {wanted.get(name)!r}: {OTHERWISE}"
            )
    leaves = _by_name(like)
    expected, found = ({name: _kind(leaf) for name, leaf in tree.items()} for tree in (leaves, arrays))
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{path} is of another architecture: {name} is {found.get(name, 'absent')}, "
                f"not {expected.get(name, 'absent')}: {OTHERWISE}"
            )
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(arrays[name]) for name in leaves])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The settings and the arrays; the sums of the zip format find a changed byte."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(str(arrays.pop("settings"))), arrays
    except FileNotFoundError:
        raise ValueError(f"{path} is not there") from None
    except Exception as error:  # what NumPy and its zip reader may raise at damaged bytes is not to be listed
        raise ValueError(f"{path} cannot be read as parameters ({error}): {OTHERWISE}") from error


def _by_name(tree: State) -> dict[str, Any]:
    return {f"leaf{jax.tree_util.keystr(path)}": leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def _kind(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"
