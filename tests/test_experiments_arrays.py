"""A user's files of rewards and labels: every kind is read, and a bad one is told in one line that leaves nothing."""

from pathlib import Path

import numpy as np
import pytest
from absl import app
from commands import command

from experiments import arrays
from experiments.forecast import __main__ as forecast

LABEL = np.repeat([0, 1, 2], [30, 20, 10])
REWARD = np.random.default_rng(0).normal(size=60) + LABEL


@pytest.fixture(scope="module")
def run():
    with command(forecast) as call:
        yield call


def test_every_kind_of_file_is_read(tmp_path):
    np.save(tmp_path / "r.npy", REWARD.astype(np.float32))
    np.savez(tmp_path / "one.npz", REWARD)
    np.savez_compressed(tmp_path / "two.npz", a=LABEL, b=REWARD)
    text = [repr(float(value)) for value in REWARD]
    (tmp_path / "plain.csv").write_text("\n".join(text) + "\n\n")
    (tmp_path / "head.csv").write_bytes(("\ufeffreward\r\n" + "\r\n".join(text)).encode())
    (tmp_path / "two.csv").write_text("id,reward\n" + "\n".join(f"{i},{value}" for i, value in enumerate(text)))
    for spec in ("one.npz", "two.npz:b", "plain.csv", "head.csv", "head.csv:reward", "two.csv:reward"):
        assert arrays.rewards(str(tmp_path / spec)).tolist() == REWARD.tolist()
    assert arrays.rewards(str(tmp_path / "r.npy")).tolist() == REWARD.astype(np.float32).tolist()
    labels = arrays.labels(str(tmp_path / "two.npz:a"), "r.npy", 60)
    assert labels.tolist() == LABEL.tolist() and labels.dtype == np.int32


@pytest.mark.parametrize(
    ("content", "read", "told"),
    [
        ("\n\nr,y\n1,0\n", [1.0], "its first line, 'r,y', names columns, of which 'r' is read"),
        ("NA\n1\n", [1.0], "its first line, 'NA', names columns, of which 'NA' is read"),
        ("0\n1\n", [0.0, 1.0], "its first line, '0', holds numbers and is taken for data"),
    ],
)
def test_what_a_first_line_is_taken_for_is_told(tmp_path, capsys, content, read, told):
    path = text(tmp_path, "a.csv", content)
    assert arrays.rewards(path + (":r" if "r" in content else "")).tolist() == read
    assert capsys.readouterr().err == f"{path}: {told}\n"


def test_names_of_classes_are_to_be_numbered(tmp_path):
    with pytest.raises(app.UsageError, match="has 'cat' in line 2: number the classes from 0"):
        arrays.labels(text(tmp_path, "y.csv", "class\ncat\ndog\n"), "r.npy", 2)


def saved(folder, name, values):
    np.save(folder / name, values)
    return str(folder / name)


def text(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder / name)


BAD_FILES = {
    "missing": (lambda d: str(d / "none.npy"), "none.npy cannot be read: No such file"),
    "folder": (lambda d: (d / "r.npy").mkdir() or str(d / "r.npy"), "r.npy cannot be read: Is a directory"),
    "kind": (lambda d: text(d, "r.txt", "1"), "is not a .npy, .npz, .csv file"),
    "square": (lambda d: saved(d, "r.npy", np.zeros((3, 2))), "has the shape (3, 2): one number a sample"),
    "number": (lambda d: saved(d, "r.npy", np.float64(3)), "has the shape (): one number a sample"),
    "empty": (lambda d: saved(d, "r.npy", np.zeros(0)), "r.npy is empty"),
    "nan": (lambda d: saved(d, "r.npy", np.array([0, 1, np.nan])), "r.npy is nan at sample 2"),
    "inf": (lambda d: saved(d, "r.npy", np.array([0, -np.inf])), "r.npy is -inf at sample 1"),
    "words": (lambda d: saved(d, "r.npy", np.array(["a", "b"])), "holds <U1: numbers are needed"),
    "complex": (lambda d: saved(d, "r.npy", np.ones(3, complex)), "holds complex128: numbers are needed"),
    "truth": (lambda d: saved(d, "r.npy", np.ones(3, bool)), "holds bool: numbers are needed"),
    "objects": (lambda d: saved(d, "r.npy", np.array([1, None])), "no whole .npy file of numbers"),
    "no bytes": (lambda d: text(d, "r.npy", ""), "r.npy is no whole .npy file"),
    "no npy": (lambda d: text(d, "r.npy", "1\n2\n"), "r.npy is no whole .npy file"),
    "cut npy": (lambda d: text(d, "r.npy", Path(saved(d, "a.npy", REWARD)).read_bytes()[:300]), "no whole .npy file"),
    "no npz": (lambda d: text(d, "r.npz", "PK\3\4 not"), "r.npz is no whole .npz file"),
    "npz in npy": (lambda d: str((np.savez(d / "a.npz", 1), (d / "a.npz").rename(d / "b.npy"))[1]), "no single array"),
    "npy:name": (lambda d: saved(d, "r.npy", REWARD) + ":x", "no single array"),
    "two arrays": (lambda d: np.savez(d / "r.npz", a=[1], b=[2]) or str(d / "r.npz"), "needs a name: it holds a, b"),
    "no such array": (lambda d: np.savez(d / "r.npz", a=[1]) or str(d / "r.npz:z"), "has no 'z': it holds a"),
    "empty csv": (lambda d: text(d, "r.csv", ""), "r.csv is empty"),
    "blank csv": (lambda d: text(d, "r.csv", "\n\n"), "r.csv is empty"),
    "head alone": (lambda d: text(d, "r.csv", "reward\n"), "r.csv is empty"),
    "word in csv": (lambda d: text(d, "r.csv", "r\n1\nbad\n"), "has 'bad' in line 3: numbers are needed"),
    "gap in csv": (lambda d: text(d, "r.csv", "1\n\n2\n"), "has 0 columns in line 2, not 1"),
    "two columns": (lambda d: text(d, "r.csv", "a,b\n1,2\n"), "needs a name: it has a, b"),
    "no such column": (lambda d: text(d, "r.csv", "a,b\n1,2\n") + ":c", "has no 'c': it has a, b"),
    "two of a name": (lambda d: text(d, "r.csv", "r,r\n1,2\n") + ":r", "has 2 columns 'r': give each a name"),
    "no names": (lambda d: text(d, "r.csv", "1,2\n3,4\n"), "needs a name: its first line holds numbers, so"),
    "a number as a name": (lambda d: text(d, "r.csv", "id,0\n3,4\n") + ":0", "taken for data: name the columns"),
    "semicolons": (lambda d: text(d, "r.csv", "\nr;y\n1;0\n") + ":r", "has 'r;y' in line 2: commas are needed"),
    "tabs": (lambda d: text(d, "r.csv", "1\t0\n"), "in line 1: commas are needed"),
    "ragged csv": (lambda d: text(d, "r.csv", "a,b\n1,2\n3\n") + ":b", "has 1 columns in line 3, not 2"),
    "nan in csv": (lambda d: text(d, "r.csv", "1\nnan\n"), "r.csv is nan at sample 1"),
    "bytes in csv": (lambda d: text(d, "r.csv", b"\xff\xfe1\n"), "is no text"),
    "overflow": (lambda d: saved(d, "r.npy", np.array([0.0, 1000.0])), "1000, and its exponential overflows"),
    "range": (lambda d: saved(d, "r.npy", np.array([0.0, -2000.0])), "span more than 1000 times --temperature=1"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_rewards_are_told_in_one_line_and_leave_nothing(run, tmp_path, case):
    make, named = BAD_FILES[case]
    error = run(f"--rewards={make(tmp_path)}", f"--out={tmp_path / 'out' / 'run'}")
    assert named in error and "\n" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (np.zeros(59, int), "has 59 labels for the 60 rewards"),
        (LABEL - 1, "is -1 at sample 0"),
        (LABEL + 0.5, "is 0.5 at sample 0"),
        (LABEL + 999, "is 1000 at sample 30"),
        (LABEL.astype(str), "holds <U21: number the classes from 0"),
        (LABEL[:, None], "has the shape (60, 1)"),
    ],
)
def test_bad_labels_are_told_in_one_line_and_leave_nothing(run, tmp_path, labels, named):
    inputs = [f"--rewards={saved(tmp_path, 'r.npy', REWARD)}", f"--labels={saved(tmp_path, 'y.npy', labels)}"]
    error = run(*inputs, f"--out={tmp_path / 'out'}")
    assert named in error and "\n" not in error
    assert not (tmp_path / "out").exists()
