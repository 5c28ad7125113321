"""The readers on small releases in the official layout: 20 records a batch."""

import hashlib
import importlib
import pickle
import shutil
import tarfile

import numpy as np
import pytest

cifar10 = importlib.import_module("curated_retraining.datasets.cifar10")  # the package has the function by that name
SIZE = 20
BATCHES = (*cifar10.TRAIN, cifar10.TEST)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS", SIZE)


def records(seed):
    """Labels `[SIZE]`, two of each class, and pixels `[SIZE, 32, 32, 3]`."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.arange(SIZE) % 10), rng.integers(0, 256, (SIZE, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def binary(tmp_path):
    """A folder that holds the binary release."""
    folder = tmp_path / cifar10.BINARY
    folder.mkdir()
    for seed, name in enumerate(BATCHES):
        label, pixels = records(seed)
        rows = [bytes([label[i]]) + pixels[i].transpose(2, 0, 1).tobytes() for i in range(SIZE)]  # red, green, blue
        (folder / f"{name}.bin").write_bytes(b"".join(rows))
    return tmp_path


@pytest.fixture
def pickled(tmp_path, monkeypatch):
    """A folder that holds the Python release, known by its sums."""
    folder = tmp_path / cifar10.PYTHON
    folder.mkdir()
    for seed, name in enumerate(BATCHES):
        label, pixels = records(seed)
        content = {b"labels": label.tolist(), b"data": pixels.transpose(0, 3, 1, 2).reshape(SIZE, -1)}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        monkeypatch.setitem(cifar10.PICKLES, name, hashlib.md5((folder / name).read_bytes()).hexdigest())
    return tmp_path


def assert_whole(data):
    for part, seeds in ((data.train, range(5)), (data.test, [5])):
        labels, pixels = zip(*(records(seed) for seed in seeds), strict=True)
        np.testing.assert_array_equal(part.label, np.concatenate(labels))
        np.testing.assert_allclose(part.x, np.concatenate(pixels) / 127.5 - 1, atol=1e-6)
        assert (part.x.dtype, part.label.dtype, part.names[6]) == (np.float32, np.int32, "frog")


@pytest.mark.parametrize("release", ["binary", "pickled"])
def test_reads_either_release_from_its_folder_or_the_one_above(request, release):
    above = request.getfixturevalue(release)
    assert_whole(cifar10.cifar10(above))
    assert_whole(cifar10.cifar10(next(above.iterdir())))


def test_a_folder_without_data_says_where_files_belong(tmp_path):
    with pytest.raises(ValueError, match=r"no CIFAR-10: put .*/cifar-10-batches-bin/data_batch_1\.bin"):
        cifar10.cifar10(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_a_missing_batch_is_named(binary):
    (binary / cifar10.BINARY / "data_batch_3.bin").unlink()
    with pytest.raises(ValueError, match=r"lacks data_batch_3\.bin"):
        cifar10.cifar10(binary)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
def test_a_batch_of_another_size_is_refused(binary, change):
    path = binary / cifar10.BINARY / "data_batch_2.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"data_batch_2\.bin has \d+ bytes, not {SIZE * 3073}: it is truncated"):
        cifar10.cifar10(binary)


def test_labels_out_of_range_and_holes_are_refused(binary):
    path = binary / cifar10.BINARY / "test_batch.bin"
    whole = path.read_bytes()
    path.write_bytes(bytes([10]) + whole[1:])
    with pytest.raises(ValueError, match=r"test_batch\.bin: labels run from 0 to 10: take 0 to 9"):
        cifar10.cifar10(binary)
    path.write_bytes(whole[: -3 * 3073] + bytes(3 * 3073))
    with pytest.raises(ValueError, match=r"no image has the label|not as many each"):
        cifar10.cifar10(binary)


def test_no_pickle_but_the_official_one_is_opened(pickled):
    class Harmful:
        def __reduce__(self):
            return (open, (str(pickled / "harmed"), "w"))

    (pickled / cifar10.PYTHON / "data_batch_1").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="not the official batch"):
        cifar10.cifar10(pickled)
    assert not (pickled / "harmed").exists()


@pytest.fixture
def site(binary, monkeypatch):
    """An archive of the binary release that stands for the official one, the release itself removed."""
    archive = binary / "site.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(binary / cifar10.BINARY, cifar10.BINARY)
    shutil.rmtree(binary / cifar10.BINARY)
    monkeypatch.setattr(cifar10, "URL", archive.as_uri())
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    return archive


def test_downloads_once_and_leaves_the_release_alone_in_the_folder(site, tmp_path):
    folder = tmp_path / "new" / "data"
    assert_whole(cifar10.cifar10(folder, download=True))
    assert [path.name for path in folder.iterdir()] == [cifar10.BINARY]
    site.unlink()
    assert_whole(cifar10.cifar10(folder, download=True))


def test_another_archive_is_refused_and_leaves_nothing(site, tmp_path):
    site.write_bytes(site.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"is not CIFAR-10 .*put the unpacked files"):
        cifar10.cifar10(tmp_path / "new", download=True)
    assert list((tmp_path / "new").iterdir()) == []


def test_without_a_network_the_error_says_where_files_belong(site, tmp_path):
    site.unlink()
    with pytest.raises(ValueError, match=r"could not download file:.*put the unpacked files"):
        cifar10.cifar10(tmp_path / "new", download=True)
    assert list((tmp_path / "new").iterdir()) == []
