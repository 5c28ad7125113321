import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from curated_retraining.inception import torch_file

FLAT = np.arange(12, dtype=np.float32) / 7
STATE = {
    "whole": FLAT[:6].reshape(2, 3),
    "turned": FLAT[3:11].reshape(4, 2).T,  # of the same storage, from an offset, with strides
    "count": np.array(5),
    "none": np.zeros((0, 3), np.float32),
}
STORED = {"11": FLAT, "2": np.array([5]), "30": np.zeros(0, np.float32)}  # in the order of the file: sorted as strings
PLACES = {
    "whole": ("11", 0, (2, 3), (3, 1)),
    "turned": ("11", 3, (2, 4), (1, 2)),
    "count": ("2", 0, (), ()),
    "none": ("30", 0, (0, 3), (3, 1)),
}


class Written:
    """A tensor or storage as PyTorch pickles it; the globals below stand for PyTorch's while it is written."""

    def __init__(self, *place):
        self.place = place

    def __reduce__(self):
        key, *place = self.place
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (Stored(key), *place, False, OrderedDict())


class Stored(str):
    pass


class Pickler(pickle.Pickler):
    row = False  # whether of the format without a zip

    def persistent_id(self, obj):
        if not isinstance(obj, Stored):
            return None
        array = STORED[obj]
        kind = sys.modules["torch"].FloatStorage if array.dtype == np.float32 else sys.modules["torch"].LongStorage
        return ("storage", kind, str(obj), "cuda:0", array.size) + ((None,) if self.row else ())


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """Modules named as PyTorch's, with what a state dict refers to."""
    fake, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, name in ((fake, "FloatStorage"), (fake, "LongStorage"), (utils, "_rebuild_tensor_v2")):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def pickled(obj, row=False):
    buffer = io.BytesIO()
    pickler = Pickler(buffer, protocol=2)
    pickler.row = row
    pickler.dump(obj)
    return buffer.getvalue()


def zipped(obj, compression=zipfile.ZIP_STORED, byteorder=b"little", raw=None, stored=STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("name/data.pkl", pickled(obj) if raw is None else raw)
        archive.writestr("name/byteorder", byteorder)
        for key, array in stored.items():
            archive.writestr(f"name/data/{key}", array.tobytes())
    return buffer.getvalue()


def in_a_row(obj, little=True, raw=None):
    machine = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickled(part) for part in (0x1950A86A20F9469CFC6C, 1001, machine)]
    parts += [pickled(obj, row=True) if raw is None else raw, pickled(sorted(STORED))]
    for _, array in sorted(STORED.items()):
        parts += [array.size.to_bytes(8, "little"), array.tobytes()]
    return b"".join(parts)


def state(**other):
    entries = OrderedDict((name, Written(*place)) for name, place in (PLACES | other).items())
    entries._metadata = OrderedDict({"": {"version": 1}})
    return entries


FORMATS = pytest.mark.parametrize("write", [zipped, in_a_row])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def refused(path, content, said):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        torch_file.read(path)
    assert str(path) in str(caught.value)


@FORMATS
def test_tensors_come_back_by_name(path, write):
    path.write_bytes(write(state()))
    back = torch_file.read(path)
    assert list(back) == list(STATE)
    for name, array in STATE.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
        assert not back[name].flags.writeable


def test_arrays_of_npz_come_back(path):
    with path.open("wb") as file:
        np.savez_compressed(file, **STATE)
    back = torch_file.read(path)
    assert back.keys() == STATE.keys()
    for name, array in STATE.items():
        np.testing.assert_array_equal(back[name], array)


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@FORMATS
def test_nothing_else_is_run(path, write, tmp_path):
    harmful = Malicious(tmp_path / "ran")
    for content in (write(state() | {"x": harmful}), write(harmful), pickled(harmful)):
        refused(path, content, r"asks for \w+\.system, which no tensor needs: not run")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickled(harmful))  # what it would have done
    assert (tmp_path / "ran").exists()


@FORMATS
@pytest.mark.parametrize(
    "name", [b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict", b"torch\nFloatStorage"]
)
def test_what_is_allowed_cannot_be_altered(path, write, name):
    """The opcode that gives an object a state would set attributes of a class."""
    before = dict(vars(torch_file._Tensor)), dict(vars(torch_file._Entries))
    state = b"N}X\x05\x00\x00\x00shapeK\x01s\x86"  # (None, {"shape": 1})
    refused(path, write(None, raw=b"\x80\x02c" + name + b"\n" + state + b"b."), "damaged or no state dict")
    assert before == (dict(vars(torch_file._Tensor)), dict(vars(torch_file._Entries)))


@FORMATS
def test_a_cut_or_continued_file_is_refused(path, write):
    content = write(state())
    for length in [*range(0, len(content), 23), len(content) - 1]:
        refused(path, content[:length], "damaged or no state dict")
    if write is in_a_row:
        refused(path, content + b"x", "goes on after the last storage")


def test_a_changed_byte_of_a_zip_is_found(path):
    content = bytearray(zipped(state()))
    content[content.index(FLAT.tobytes()) + 5] ^= 1
    refused(path, bytes(content), "damaged .*Bad CRC-32")


def test_a_storage_has_the_size_that_was_said(path):
    longer = zipped(state(), stored=STORED | {"11": np.append(FLAT, FLAT)})
    refused(path, longer, "storage of whole has 24 elements, not 12")


@FORMATS
@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("11", 1, (4, 3), (3, 1)), "ends at 12 of a storage of 12"),
        (("11", 0, (2, 2), (1, 11)), "ends at 12 of a storage of 12"),
        (("11", 5, (2,), (-1,)), "not counts"),
        (("11", 0, (2,), (1, 1)), "not counts"),
        (("11", 0, (2.0,), (1,)), "not counts"),
    ],
)
def test_a_tensor_lies_within_its_storage(path, write, place, said):
    refused(path, write(state(x=place)), said)


@FORMATS
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds one list and no dict"),
        ({"a": 1}, "a int by a str"),
        ({1: Written(*PLACES["count"])}, "by a int"),
    ],
)
def test_other_content_is_refused(path, write, content, said):
    refused(path, write(content), said)


def test_other_formats_are_refused(path):
    refused(path, b"", "damaged or no state dict")
    refused(path, b"\x89PNG\r\n\x1a\n", "damaged or no state dict")
    refused(path, pickled({"a": 1}), "damaged or no state dict")
    refused(path, pickled(1) * 3, "does not begin with PyTorch's marks")
    refused(path, zipped(state(), byteorder=b"big"), "not little-endian")
    refused(path, in_a_row(state(), little=False), "not little-endian")
    refused(path, zipped(state(), compression=zipfile.ZIP_DEFLATED), "compressed")
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    refused(path, buffer.getvalue(), "damaged or no state dict")


@pytest.mark.parametrize(("array", "said"), [(np.zeros(2), "a is of float64"), (np.array([{}]), "allow_pickle")])
def test_other_arrays_of_npz_are_refused(path, array, said):
    buffer = io.BytesIO()
    np.savez(buffer, a=array)
    refused(path, buffer.getvalue(), said)


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(ValueError, match=r"cannot be read .*name the file of a state dict"):
            torch_file.read(path)
