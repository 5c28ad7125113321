"""Tensors out of a file that PyTorch or NumPy wrote, without PyTorch and without running anything that is in it."""

import pickle
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, as read-only arrays of float32 or int64.

    Which of three formats the bytes have, they show themselves: what `torch.save` writes since PyTorch 1.6 (a zip of a
    pickle and of each storage's bytes), what it wrote before and still does under
    `_use_new_zipfile_serialization=False` (five pickles in a row, then the storages), and an `.npz` of arrays.

    Raises:
        ValueError: where `path` is not there, is damaged, or holds anything but such tensors by name.
    """
    try:
        with Path(path).open("rb") as file:
            arrays = _zipped(file) if file.read(4) == b"PK\x03\x04" else _in_a_row(file)
        for name, array in arrays.items():
            if array.dtype not in (np.float32, np.int64):
                raise ValueError(f"{name} is of {array.dtype}, not float32 or int64")
        return arrays
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error}): name the file of a state dict") from error
    except Exception as error:  # what unpickling damaged bytes may raise is not to be listed
        raise ValueError(
            f"{path} is damaged or no state dict that torch.save wrote ({type(error).__name__}: {error}): "
            "fetch it anew, or save the state dict again"
        ) from error


MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of the format without a zip
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage(NamedTuple):
    """What a pickle says of the bytes of one or more tensors."""

    key: str
    dtype: str
    count: int


class _Tensor(NamedTuple):
    """What a pickle says of a tensor: the arguments of `torch._utils._rebuild_tensor_v2`."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    requires_grad: bool = False
    hooks: Any = None

    def __setstate__(self, state: Any):
        """Takes no state: without this a pickle could set attributes of the class."""
        raise pickle.UnpicklingError("a tensor with a state")

    def within(self, flat: np.ndarray) -> np.ndarray:
        """The tensor as a view of its storage `flat`, after a check that it lies in there."""
        numbers = (self.offset, *self.shape, *self.strides)
        if not all(type(number) is int and number >= 0 for number in numbers) or len(self.shape) != len(self.strides):
            raise ValueError("a tensor whose offset, shape and strides are not counts")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if 0 not in self.shape and last >= flat.size:
            raise ValueError(f"a tensor that ends at {last} of a storage of {flat.size}")
        strides = [stride * flat.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides, writeable=False)


class _Entries(dict):
    """A dict in the place of `OrderedDict`."""

    def __setstate__(self, state: Any):
        """Leaves out the attribute that state dicts have, versions of layers."""


class _Unpickler(pickle.Unpickler):
    """Builds dicts, plain values and descriptions of tensors; it neither imports nor calls anything else.

    A pickle does harm by what it calls, and it can call only what `find_class` gives it: two classes of ours, here.
    """

    def find_class(self, module_name: str, global_name: str) -> Any:
        """What stands for a global: one of the names below, or an error."""
        if module_name == "torch" and global_name in STORAGES:
            return STORAGES[global_name]
        allowed = {("collections", "OrderedDict"): _Entries, ("torch._utils", "_rebuild_tensor_v2"): _Tensor}
        if (module_name, global_name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which no tensor needs: not run")
        return allowed[module_name, global_name]

    def persistent_load(self, pid: Any) -> _Storage:
        """What stands for a storage; where it was (CPU or GPU) does not matter."""
        match pid:
            case ("storage", "<f4" | "<i8" as dtype, str(key), str(), int(count), *views):
                if count >= 0 and views in ([], [None]):
                    return _Storage(key, dtype, count)
        raise pickle.UnpicklingError("a storage that is not described as one of float32 or int64")


def _zipped(file: IO[bytes]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if not pickles and all(name.endswith(".npy") for name in names):
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        if len(pickles) != 1:
            raise ValueError(f"a zip with {len(pickles)} files data.pkl, not one")
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed, as torch.save never does")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are not little-endian")
        with archive.open(pickles[0]) as pickled:
            tensors = _tensors(_Unpickler(pickled).load())
        return _views(tensors, {key: archive.read(f"{folder}data/{key}") for key in _storages(tensors)})


def _in_a_row(file: IO[bytes]) -> dict[str, np.ndarray]:
    file.seek(0)
    magic, protocol, machine = (_Unpickler(file).load() for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise ValueError("it does not begin with PyTorch's marks")
    if machine["little_endian"] is not True:
        raise ValueError("its numbers are not little-endian")
    tensors = _tensors(_Unpickler(file).load())
    storages = _storages(tensors)
    content = {}
    for key in _Unpickler(file).load():
        count = file.read(8)
        if count != storages[key].count.to_bytes(8, "little"):
            raise ValueError(f"storage {key} does not begin with its number of elements, {storages[key].count}")
        content[key] = file.read(storages[key].count * np.dtype(storages[key].dtype).itemsize)
    if file.read(1):
        raise ValueError("it goes on after the last storage")
    return _views(tensors, content)


def _tensors(state: Any) -> dict[str, _Tensor]:
    if not isinstance(state, dict):
        raise ValueError(f"it holds one {type(state).__name__} and no dict")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor) or not isinstance(value.storage, _Storage):
            raise ValueError(f"it has a {type(value).__name__} by a {type(name).__name__}, not a tensor by its name")
    return state


def _storages(tensors: dict[str, _Tensor]) -> dict[str, _Storage]:
    return {tensor.storage.key: tensor.storage for tensor in tensors.values()}


def _views(tensors: dict[str, _Tensor], content: dict[str, bytes]) -> dict[str, np.ndarray]:
    """The tensors within the bytes of their storages, by key."""
    arrays = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        flat = np.frombuffer(content[storage.key], storage.dtype)
        if flat.size != storage.count:
            raise ValueError(f"the storage of {name} has {flat.size} elements, not {storage.count}")
        arrays[name] = tensor.within(flat)
    return arrays
