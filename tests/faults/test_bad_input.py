"""Any flags and any files: a value or one line, never a traceback, and no file left behind."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver
from commands import defined
from files import ARRAYS, Harmful, broken, npy, npz, zipped
from fuzzing import LEAST, MANY, TESTS, fuzzed
from hypothesis import strategies as st

from experiments import __main__ as listed
from experiments import arrays, common
from experiments.gmm import RING
from experiments.plane import models, run


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


@st.composite
def well_formed(draw):
    """A file of an array of any kind and shape."""
    array = draw(ARRAYS)
    return draw(st.sampled_from([("npy", npy(array)), ("npz", npz(r=array)), ("npz", npz(x=array, label=array))]))


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
        ("npz", zipped(x="no array", label="neither"), ":label"),  # NumPy gives its bytes
        ("npy", npy(np.arange(5.0)).replace(b"(5,), }", b"(5,),  "), ""),  # the error is of Python's tokenizer
        ("npy", npy(np.arange(5.0)).replace(b"(5,), }", b"(9" + 4 * b"9" + b",)}"), ""),
        ("npy", npy(np.array([Harmful()], object)), ""),
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
