"""Any files of images, of a release of CIFAR-10 or of weights: what they hold, or one line, and nothing is run."""

import hashlib
import importlib
import pickle

import numpy as np
import pytest
from files import ARRAYS, CHANGES, Harmful, broken, changed_by, npz, zipped
from fuzzing import fuzzed
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from curated_retraining import datasets
from curated_retraining.inception import torch_file

PIXELS = st.one_of(
    hn.arrays(st.sampled_from([np.uint8, np.float32, np.float16, np.int64]), st.just((12, 2, 2, 1))),
    hn.arrays(np.float32, st.just((12, 2, 2, 1)), elements=st.floats(-1, 1, width=32)),
    ARRAYS,
)
LABELS = st.one_of(
    hn.arrays(st.sampled_from([np.uint64, np.int8, np.uint8]), 12, elements=st.integers(0, 2)),
    hn.arrays(st.sampled_from([np.int64, np.uint64]), 12, elements=st.integers(0, 2**62)),
    ARRAYS,
)
LISTED = st.one_of(st.none(), st.just(np.array(["a", "b"])), ARRAYS)


@fuzzed(st.one_of(broken(), st.tuples(PIXELS, LABELS, LISTED)))
def test_files_of_images(where, content):
    if isinstance(content[1], bytes):
        data = content[1]
    else:
        x, label, names = content
        data = npz(x=x, label=label, **({} if names is None else {"names": names}))
    (where / "given.npz").write_bytes(data)
    try:
        found = datasets.npz("given.npz")
    except ValueError as error:
        assert "given.npz" in str(error) or "class" in str(error)
    else:
        for images in found:
            assert images.x.dtype == np.float32 and images.x.min() >= -1 and images.x.max() <= 1
            assert images.label.max() < len(images.names) and images.label.min() >= 0
    assert not (where / "harmed").exists()


def test_images_with_labels_of_any_whole_numbers(where):
    x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(12, 2, 2, 1)
    for dtype in (np.uint64, np.int8, np.uint32):
        (where / "given.npz").write_bytes(npz(x=x, label=np.array([0, 1] * 6, dtype)))
        assert datasets.npz("given.npz").train.label.tolist() == [0, 1] * 5
    (where / "given.npz").write_bytes(zipped(x="no array", label="neither"))
    with pytest.raises(ValueError, match=r"given\.npz: x has the shape \(\)"):
        datasets.npz("given.npz")


@fuzzed(st.one_of(broken(), st.sampled_from([("pth", pickle.dumps(Harmful())), ("pth", pickle.dumps({"a": 1}))])))
def test_files_of_weights(where, content):
    (where / "given.pth").write_bytes(content[1])
    try:
        found = torch_file.read("given.pth")
    except ValueError as error:
        assert "given.pth" in str(error)
    else:
        assert all(array.dtype in (np.float32, np.int64) for array in found.values())
    assert not (where / "harmed").exists()


cifar10 = importlib.import_module("curated_retraining.datasets.cifar10")  # the package has the function by that name
BATCHES = (*cifar10.TRAIN, cifar10.TEST)


@pytest.fixture
def releases(where, monkeypatch):
    """Folders of the two releases with 20 records a batch, two of each class: of a name the bytes of its files."""
    monkeypatch.setattr(cifar10, "RECORDS", 20)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)
    binary = b"".join(bytes([record % 10]) + row.tobytes() for record, row in enumerate(pixels))
    pickled = pickle.dumps({b"labels": [*range(10)] * 2, b"data": pixels})
    for name in BATCHES:
        monkeypatch.setitem(cifar10.PICKLES, name, hashlib.md5(pickled).hexdigest())
        for folder, file, content in (("given-bin", f"{name}.bin", binary), ("given-py", name, pickled)):
            (where / folder).mkdir(exist_ok=True)
            (where / folder / file).write_bytes(content)
    return {"given-bin": binary, "given-py": pickled}


RELABELLED = st.tuples(st.integers(0, 19).map(lambda record: (record + 1e-5) / 20), st.integers(0, 9))


@fuzzed(
    st.sampled_from(["given-bin", "given-py"]),
    st.sampled_from(BATCHES),
    st.one_of(CHANGES, st.lists(RELABELLED, max_size=2), st.binary(max_size=60), st.just(pickle.dumps(Harmful()))),
    st.one_of(st.none(), st.floats(0, 2)),
)
def test_files_of_cifar10(where, releases, folder, name, changes, length):
    """A changed pixel of the binary release cannot be seen; of the other nothing is read that differs at all."""
    whole = releases[folder]
    content = changes if isinstance(changes, bytes) else changed_by(whole, changes)
    content = content if length is None else (content + content)[: int(length * len(content))]
    path = where / folder / (f"{name}.bin" if folder == "given-bin" else name)
    path.write_bytes(content)
    try:
        found = datasets.cifar10(folder)
    except ValueError as error:
        assert content != whole and (path.name in str(error) or f"{folder}: its classes have" in str(error))
    else:
        assert content == whole or (folder == "given-bin" and len(content) == len(whole))
        for images in found:
            assert images.x.min() >= -1 and images.x.max() <= 1
            assert np.array_equal(np.bincount(images.label), [len(images.label) // 10] * 10)
    finally:
        path.write_bytes(whole)
    assert not (where / "harmed").exists()
