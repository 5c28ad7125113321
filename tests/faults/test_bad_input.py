"""Any flags and any files: a value or one line, never a traceback, and no file left behind."""

import hashlib
import importlib
import io
import math
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver
from commands import defined
from fuzzing import LEAST, MANY, TESTS, fuzzed
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from curated_retraining import datasets
from curated_retraining.inception import torch_file
from experiments import __main__ as listed
from experiments import arrays, common
from experiments.gmm import RING
from experiments.plane import models, run


@pytest.fixture
def where(tmp_path, monkeypatch):
    """A folder to work in, in which nothing but `given` may be afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(("given", ".hypothesis"))] == []


@pytest.fixture
def flagged():
    """The flags of an experiment."""
    before = set(flags.FLAGS)
    run.define("gmm", generations=8)
    yield
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


# Flags

NUMBERS = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "inf", "-inf", "nan", "1e400", "1e-400", "1,1", "0x10", "1_0", "１", "None"]),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.text(max_size=8),
)
NAMES = st.sampled_from(
    ["k", "lam", "temperature", "generations", "seeds", "seed", "every", "keep", "out", "reward", "model", "pool",
     "real", "steps", "first_steps", "gamma", "r_min", "target", "label", "no_such_flag"]
)  # fmt: skip


@fuzzed(st.lists(st.tuples(NAMES, NUMBERS), max_size=4))
def test_flags(where, flagged, chosen):
    with flagsaver.flagsaver():
        try:
            flags.FLAGS(["gmm", *(f"--{name}={value}" for name, value in chosen)])
            found = run._settings(RING, flags.FLAGS.model)
        except (flags.Error, app.UsageError) as error:
            assert str(error)
            return
    assert found["pool"] % found["k"] == 0 and found["k"] >= 2 and found["seed"] + found["seeds"] <= 2**31
    assert all(float(lam) >= 0 for lam in found["lam"]) and found["model"] in models.SIZES
    assert 0 <= found["temperature"] < np.inf and 0 <= found["gamma"] < np.inf and np.isfinite(found["target"]).all()


@pytest.fixture(scope="module")
def parsers():
    """The flags of each experiment, in a place of their own."""
    found = {}
    for name in listed.experiments():
        found[name] = flags.FlagValues()
        with defined(name):
            for flag in common.ours():
                found[name][flag.name] = flag
    return found


SPECIAL = st.sampled_from(["nan", "inf", "-1", "1,nan", "²,3", "9" * 5000, "1,1.0", "0.5,0.5", "-0,0", ",", "1e39"])


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@fuzzed(
    st.sampled_from([*listed.experiments()]),
    st.one_of(SPECIAL, SPECIAL, NUMBERS, st.lists(NUMBERS, max_size=3).map(",".join)),
)
def test_flags_of_every_experiment(where, parsers, name, text):
    """What each of them takes is within its bounds, and no number of a list is NaN or below 0."""
    own = parsers[name]
    needed = ["--rewards=r.npy"] if name == "forecast" else []
    for flag in (own[each] for each in own):
        own.unparse_flags()
        try:
            own([name, *needed, f"--{flag.name}={text}"])
        except flags.Error as error:
            assert str(error)
            continue
        if flag.flag_type() in ("int", "float"):
            assert flag.value >= 0 and ("or inf" in flag.help or flag.value < math.inf)
        elif "list" in flag.flag_type() and flag.name not in ("target", "find"):
            assert all(number >= 0 for number in common.floats(flag.value))


# Files of numbers


def _npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _npz(**given):
    file = io.BytesIO()
    np.savez(file, **given)
    return file.getvalue()


def _zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


class Harmful:
    """What leaves a file where it is unpickled."""

    def __reduce__(self):
        return open, ("harmed", "w")


WHOLE = [
    ("npy", _npy(np.arange(5.0))),
    ("npy", _npy(np.array([Harmful()], object))),
    ("npz", _npz(x=np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), label=np.array([0, 1, 1]))),
    ("npz", _npz(r=np.arange(3.0))),
    ("npz", _zipped(x="no array", label="neither")),
    ("csv", b"r,y\n1.5,0\n2,1\n-3e4,1\n"),
    ("csv", "r\n1\n".encode("utf-16")),
]
ARRAYS = st.one_of(
    hn.arrays(hn.scalar_dtypes(), hn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
    hn.arrays(np.float64, st.integers(0, 5), elements=st.floats()),
)
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


def _changed(content, changes):
    changed = bytearray(content)
    for at, byte in changes:
        changed[int(at * len(changed))] = byte
    return bytes(changed)


@st.composite
def broken(draw):
    """A whole file with some bytes changed, cut off or put behind, or bytes of no kind."""
    kind, content = draw(st.sampled_from(WHOLE))
    changed = _changed(content, draw(CHANGES))
    end = draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    return kind, draw(st.one_of(st.just(changed[:end]), st.binary(max_size=60))) + draw(st.sampled_from([b"", b"\n1"]))


@st.composite
def well_formed(draw):
    """A file of an array of any kind and shape."""
    array = draw(ARRAYS)
    return draw(st.sampled_from([("npy", _npy(array)), ("npz", _npz(r=array)), ("npz", _npz(x=array, label=array))]))


@fuzzed(st.one_of(broken(), well_formed()), st.sampled_from(["", ":r", ":y", ":label", ":", ":1:2"]))
def test_files_of_rewards_and_labels(where, content, part):
    kind, data = content
    (where / f"given.{kind}").write_bytes(data)
    for read in (arrays.rewards, lambda spec: arrays.labels(spec, "r.npy", 3)):
        try:
            found = read(f"given.{kind}{part}")
        except app.UsageError as error:
            assert "given" in str(error) and "\n" not in str(error)
        else:
            assert found.ndim == 1 and found.size and np.isfinite(found).all()
    assert not (where / "harmed").exists()


@pytest.mark.parametrize(
    ("kind", "data", "part"),
    [
        ("npz", _zipped(x="no array", label="neither"), ":label"),  # NumPy gives its bytes
        ("npy", _npy(np.arange(5.0)).replace(b"(5,), }", b"(5,),  "), ""),  # the error is of Python's tokenizer
        ("npy", _npy(np.arange(5.0)).replace(b"(5,), }", b"(9" + 4 * b"9" + b",)}"), ""),
        ("npy", _npy(np.array([Harmful()], object)), ""),
    ],
)
def test_files_that_numpy_reads_otherwise(where, kind, data, part):
    (where / f"given.{kind}").write_bytes(data)
    with pytest.raises(app.UsageError, match=r"given\."):
        arrays.rewards(f"given.{kind}{part}")
    assert not (where / "harmed").exists()


@fuzzed(st.text(max_size=20))
def test_names_of_files(where, spec):
    for name in (f"given-not-there-{spec}", f"given-not-there-{spec}.npy", f"given-not-there.csv:{spec}"):
        with pytest.raises(app.UsageError):
            arrays.rewards(name)


TABLES = st.lists(st.lists(st.one_of(NUMBERS, st.sampled_from(["r", "y", '"', "\x00", "\r"])), max_size=3), max_size=5)


@fuzzed(TABLES, st.sampled_from(["", ":r", ":y"]))
def test_tables(where, rows, part):
    (where / "given.csv").write_text("\n".join(",".join(row) for row in rows), newline="")
    try:
        found = arrays.rewards(f"given.csv{part}")
    except app.UsageError as error:
        assert str(error)
    else:
        assert found.ndim == 1 and found.size and np.isfinite(found).all()


# Images and weights

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
        data = _npz(x=x, label=label, **({} if names is None else {"names": names}))
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
        (where / "given.npz").write_bytes(_npz(x=x, label=np.array([0, 1] * 6, dtype)))
        assert datasets.npz("given.npz").train.label.tolist() == [0, 1] * 5
    (where / "given.npz").write_bytes(_zipped(x="no array", label="neither"))
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
    content = changes if isinstance(changes, bytes) else _changed(whole, changes)
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


def test_nothing_of_ours_unpickles_what_it_does_not_know():
    """One place unpickles, a batch whose MD5 is the official one's; another builds tensors by a restricted reader."""
    places = {"curated_retraining/datasets/cifar10.py", "curated_retraining/inception/torch_file.py"}
    root = Path(__file__).parent.parent.parent
    for folder in ("curated_retraining", "experiments", "benchmarks"):
        for path in (root / folder).rglob("*.py"):
            text, name = path.read_text(), str(path.relative_to(root))
            calls = re.findall(r"np\.load\(.*", text)
            assert all("allow_pickle=False" in call for call in calls), name
            assert "pickle" not in text.replace("allow_pickle=False", "") or name in places, name


def test_the_long_version_runs_thousands_of_cases():
    """Each of these tests looks that it ran as many as this counts."""
    assert len([test for test in TESTS if test.__module__ == __name__]) * LEAST * MANY >= 2000
