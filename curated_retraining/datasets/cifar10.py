"""CIFAR-10 (Krizhevsky 2009) from its official releases."""

import hashlib
import os
import pickle
import shutil
import tarfile
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path

import numpy as np

from curated_retraining.datasets.images import Images, Split, checked_labels, scaled

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST = "test_batch"
RECORDS = 10_000  # a batch
PIXELS = 3 * 32 * 32  # a record, after one byte of label in the binary release
BINARY, PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
# Of the archive at `URL`, 170,052,171 bytes, whose MD5 on the official page is c32a1d4ab5d03f1284b67883e8d87530.
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
PICKLES = {  # MD5 of the batches of the Python release, as in torchvision: nothing else is ever unpickled
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def cifar10(folder: str | Path, download: bool = False) -> Split:
    """The 50,000 training and 10,000 test images, 32 × 32 × 3, in their official split and order.

    Args:
        folder: holds the binary release or the Python one, itself or in the folder of the archive's name below.
        download: fetches the binary release (170 MB) from `URL` into `folder` where neither is there.

    The pixels take 737 MB as float32.

    Raises:
        ValueError: with the file, what is wrong with it and what to do.
    """
    folder = Path(folder).expanduser()
    found = _release(folder)
    if found is None and download:
        _download(folder)
        found = _release(folder)
    if found is None:
        raise ValueError(f"{folder} holds no CIFAR-10: {_remedy(folder)}")
    home, read, suffix = found
    missing = [name + suffix for name in (*TRAIN, TEST) if not (home / (name + suffix)).is_file()]
    if missing:
        raise ValueError(f"{home} lacks {', '.join(missing)}: {_remedy(folder)}")
    return Split(
        _images(home, [read(home / (name + suffix)) for name in TRAIN]), _images(home, [read(home / (TEST + suffix))])
    )


def binary_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels `[RECORDS, 3072]` uint8, as planes of red, green and blue, and labels `[RECORDS]` of a binary batch."""
    content = np.fromfile(path, np.uint8)
    if content.size != RECORDS * (1 + PIXELS):
        raise ValueError(
            f"{path} has {content.size} bytes, not {RECORDS * (1 + PIXELS)}: it is truncated or no batch of CIFAR-10; "
            "unpack the archive anew"
        )
    records = content.reshape(RECORDS, 1 + PIXELS)
    return records[:, 1:], checked_labels(path, records[:, 0], NAMES)


def python_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same of a batch of the Python release, unpickled only where its MD5 is the official one's."""
    content = path.read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != PICKLES[path.name]:
        raise ValueError(
            f"{path} is not the official batch (MD5 {digest}, not {PICKLES[path.name]}), and another pickle may run "
            f"any code: take the binary release, {URL}"
        )
    batch = pickle.loads(content, encoding="bytes")
    return batch[b"data"], checked_labels(path, np.asarray(batch[b"labels"]), NAMES)


def _release(folder: Path):
    """Where the batches lie, their reader and the ending of their names; None where there is none."""
    for home in (folder, folder / BINARY, folder / PYTHON):
        for read, suffix in ((binary_batch, ".bin"), (python_batch, "")):
            if any((home / (name + suffix)).is_file() for name in (*TRAIN, TEST)):
                return home, read, suffix
    return None


def _images(home: Path, batches: list[tuple[np.ndarray, np.ndarray]]) -> Images:
    label = np.concatenate([label for _, label in batches])
    count = np.bincount(label, minlength=len(NAMES))
    if np.any(count != label.size // len(NAMES)):  # what a hole in a file leaves: records of zeros
        raise ValueError(f"{home}: its classes have {count} images, not as many each: unpack the archive anew")
    x = np.empty((label.size, 32, 32, 3), np.float32)
    for i, (pixels, _) in enumerate(batches):
        planes = scaled(pixels, 255).reshape(-1, 3, 32, 32)
        x[i * RECORDS : (i + 1) * RECORDS] = planes.transpose(0, 2, 3, 1)
    return Images(x, label, NAMES)


def _download(folder: Path) -> None:
    """Fetches, checks and unpacks the binary release beside its place, then moves it there whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cifar10-", dir=folder) as beside:
            archive = Path(beside) / "archive.tar.gz"
            with urllib.request.urlopen(URL, timeout=60) as source, archive.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            with archive.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != SHA256:
                raise ValueError(f"what {URL} sent is not CIFAR-10 (SHA-256 {digest}): {_remedy(folder)}")
            fresh = Path(beside) / BINARY
            fresh.mkdir()
            with tarfile.open(archive) as tar:
                for name in (*TRAIN, TEST):  # by name: no other member is ever written
                    source = tar.extractfile(f"{BINARY}/{name}.bin")
                    if source is None:
                        raise ValueError(f"the archive of {URL} has no {name}.bin: {_remedy(folder)}")
                    with source, (fresh / f"{name}.bin").open("wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)
            os.rename(fresh, folder / BINARY)
    except (OSError, HTTPException) as error:
        raise ValueError(f"could not download {URL} ({error}): {_remedy(folder)}") from error


def _remedy(folder: Path) -> str:
    return (
        f"put the unpacked files of {URL} there, so that {folder / BINARY / TRAIN[0]}.bin to {TRAIN[-1]}.bin and "
        f"{TEST}.bin exist, or let it be downloaded"
    )
