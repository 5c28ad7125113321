"""The forecast as a user runs it: files in, tables and a figure out, mistakes in one line that leave nothing behind."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import command
from PIL import Image

from curated_retraining import figures, theory
from curated_retraining.forecast import Forecast
from experiments import arrays
from experiments.forecast import __main__ as forecast
from experiments.forecast import report

RNG = np.random.default_rng(0)
LABEL = np.repeat([0, 1, 2], [30, 20, 10])
REWARD = RNG.normal(size=60) + LABEL
REAL_LABEL = np.array([0, 0, 1, 3])
REAL = np.array([0.0, 0.5, -0.5, 1.0])
SMALL = ["--lam=inf,0.5", "--generations=3", "--bootstrap=0"]


@pytest.fixture(scope="module")
def run():
    with command(forecast) as call:
        yield call


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "r.npy", REWARD)
    np.save(folder / "y.npy", LABEL)
    np.save(folder / "real_r.npy", REAL)
    np.save(folder / "real_y.npy", REAL_LABEL)
    return folder


@pytest.fixture(scope="module")
def finished(run, files, tmp_path_factory):
    """A small forecast with bands and a floor: its folder and flags."""
    out = tmp_path_factory.mktemp("runs") / "deep" / "forecast"
    inputs = [f"--rewards={files / 'r.npy'}", f"--labels={files / 'y.npy'}", f"--out={out}"]
    given = [*inputs, "--lam=inf,0.5", "--generations=3", "--bootstrap=8", "--keep=0:0.2"]
    assert run(*given) is None
    return out, given


def read(path):
    return list(csv.DictReader(path.open()))


def test_the_numbers_are_the_exact_course(finished):
    out, _ = finished
    rows = read(out / "forecast.csv")
    assert [(row["lam"], row["generation"]) for row in rows] == [(lam, t) for lam in ("inf", "0.5") for t in "0123"]
    with jax.enable_x64(True):
        r, lams = jnp.asarray(REWARD), jnp.array([jnp.inf, 0.5])
        of = jax.jit(jax.vmap(lambda lam: theory.trajectory(jnp.full(60, 1 / 60), r, k=4, lam=lam, num=3)))
        course = np.asarray(of(lams)).reshape(8, 60)
    share = np.stack([course @ (c == LABEL) for c in range(3)], axis=1)
    expected = {
        "reward_mean": course @ REWARD,
        "exp_reward_mean": course @ np.exp(REWARD),
        "entropy": -np.sum(share * np.log(share), axis=1),
        "effective_classes": np.exp(-np.sum(share * np.log(share), axis=1)),
        "kl": np.sum(course * np.log(60 * course), axis=1),
    } | {f"share_{c}": share[:, c] for c in range(3)}
    assert set(rows[0]) == {"lam", "generation"} | {
        f"{name}{end}" for name in expected for end in ("", "_low", "_high")
    }
    for name, values in expected.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-8, atol=1e-12)
        low, high = (np.array([float(row[f"{name}_{end}"]) for row in rows]) for end in ("low", "high"))
        assert (low <= high).all() and (low < high).any()


def test_classes_the_winner_and_the_required_share_are_told(finished):
    out, _ = finished
    rows = read(out / "classes.csv")
    assert [(row["lam"], row["class"]) for row in rows] == [(lam, c) for lam in ("inf", "0.5") for c in "012"]
    best = LABEL[REWARD.argmax()]
    assert [float(row["limit_share"]) for row in rows[:3]] == [float(c == best) for c in range(3)]
    assert [row["winner"] for row in rows[:3]] == [str(int(c == best)) for c in range(3)]
    said = (out / "forecast.txt").read_text()
    assert (
        "60 samples and real data like them; K = 4, temperature 1; in brackets the 90 % band over 8 resamples" in said
    )
    assert f"predicted to win: class {best}, with 1.000" in said
    assert "keeps class 0 at 0.2 or more in generations 1 to 3" in said
    config = json.loads((out / "config.json").read_text())["flags"]
    assert config["k"] == 4 and config["keep"] == "0:0.2" and len(config["label_sha256"]) == 64
    with Image.open(out / "figures/forecast.png") as image:
        image.load()
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {
        ".lock", "config.json", "forecast.csv", "classes.csv", "forecast.txt", "figures/forecast.png",
    }  # fmt: skip


def test_the_same_command_gives_the_same_bytes_and_another_is_refused(run, finished, tmp_path):
    out, given = finished
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run(*given) is None
    assert "holds a run with level=0.9, not 0.5" in run(*given, "--level=0.5")
    np.save(tmp_path / "r.npy", 2 * REWARD)
    assert "holds a run with" in run(*given, f"--rewards={tmp_path / 'r.npy'}")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_only_differences_of_rewards_matter_to_choices(run, files, tmp_path):
    """Rewards 500 higher, whose exponential float32 does not hold: E[r] is 500 higher, shares are the same."""
    np.save(tmp_path / "high.npy", REWARD + 500)
    for name, file in (("low", files / "r.npy"), ("high", tmp_path / "high.npy")):
        flags = [f"--rewards={file}", f"--labels={files / 'y.npy'}", f"--out={tmp_path / name}", *SMALL]
        assert run(*flags, "--bootstrap=2") is None
    low, high = (read(tmp_path / name / "forecast.csv") for name in ("low", "high"))
    for name in ("share_0", "kl", "share_2_low"):
        # the sum rounds to 2^-44, and float32, of which the bands are, to 1e-7
        of = [np.array([float(row[name]) for row in rows]) for rows in (low, high)]
        np.testing.assert_allclose(*of, rtol=1e-5, atol=1e-9)
    for end in ("", "_low", "_high"):
        of = [np.array([float(row[f"reward_mean{end}"]) for row in rows]) for rows in (low, high)]
        np.testing.assert_allclose(of[0] + 500, of[1], rtol=1e-7)
        of = [np.log([float(row[f"exp_reward_mean{end}"]) for row in rows]) for rows in (low, high)]
        np.testing.assert_allclose(of[0] + 500, of[1], rtol=1e-7)


def test_real_data_of_their_own_bring_their_classes(run, files, tmp_path):
    model = [f"--rewards={files / 'r.npy'}", f"--labels={files / 'y.npy'}"]
    real = [f"--real_rewards={files / 'real_r.npy'}", f"--real_labels={files / 'real_y.npy'}"]
    assert run(*model, *real, *SMALL, "--lam=0", f"--out={tmp_path / 'run'}") is None
    rows = read(tmp_path / "run/forecast.csv")  # λ = 0: all real data from the first retraining on
    np.testing.assert_allclose([float(rows[0][f"share_{c}"]) for c in range(4)], [1 / 2, 1 / 3, 1 / 6, 0])
    np.testing.assert_allclose([float(rows[1][f"share_{c}"]) for c in range(4)], [1 / 2, 1 / 4, 0, 1 / 4])
    assert "60 samples and 4 of real data" in (tmp_path / "run/forecast.txt").read_text()


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
    "word in csv": (lambda d: text(d, "r.csv", "r\n1\nbad\n"), "has 'bad' in line 3: a number is needed"),
    "gap in csv": (lambda d: text(d, "r.csv", "1\n\n2\n"), "has 0 columns in line 2, not 1"),
    "two columns": (lambda d: text(d, "r.csv", "a,b\n1,2\n"), "needs a name: it has a, b"),
    "no such column": (lambda d: text(d, "r.csv", "a,b\n1,2\n") + ":c", "has no 'c': it has a, b"),
    "ragged csv": (lambda d: text(d, "r.csv", "a,b\n1,2\n3\n") + ":b", "has 1 columns in line 3, not 2"),
    "nan in csv": (lambda d: text(d, "r.csv", "1\nnan\n"), "r.csv is nan at sample 1"),
    "bytes in csv": (lambda d: text(d, "r.csv", b"\xff\xfe1\n"), "is no text"),
    "overflow": (lambda d: saved(d, "r.npy", np.array([0.0, 1000.0])), "1000, and its exponential overflows"),
    "range": (lambda d: saved(d, "r.npy", np.array([0.0, -2000.0])), "span more than 1000 times --temperature=1"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_rewards_are_told_in_one_line_and_leave_nothing(run, tmp_path, case):
    make, named = BAD_FILES[case]
    error = run(f"--rewards={make(tmp_path)}", *SMALL, f"--out={tmp_path / 'out' / 'run'}")
    assert named in error and "\n" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (np.zeros(59, int), "has 59 labels for the 60 rewards"),
        (LABEL - 1, "is -1 at sample 0"),
        (LABEL + 0.5, "is 0.5 at sample 0"),
        (LABEL + 999, "is 1000 at sample 30"),
        (LABEL.astype(str), "numbers are needed"),
        (LABEL[:, None], "has the shape (60, 1)"),
    ],
)
def test_bad_labels_are_told_in_one_line_and_leave_nothing(run, files, tmp_path, labels, named):
    inputs = [f"--rewards={files / 'r.npy'}", f"--labels={saved(tmp_path, 'y.npy', labels)}"]
    error = run(*inputs, *SMALL, f"--out={tmp_path / 'out'}")
    assert named in error and "\n" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--rewards="], "rewards"),
        (["--lam=-1"], "lam"),
        (["--k=1"], "k"),
        (["--bootstrap=1"], "bootstrap"),
        (["--level=1"], "level"),
        (["--keep=0"], "keep"),
        (["--keep=0:1.5"], "keep"),
        (["--keep=3:0.1"], "--keep=3:0.1 is of no class in the labels: take one of 0 to 2"),
        (["--entropy_floor=1.2"], "--entropy_floor=1.2"),
        (["--real_labels={y}"], "--real_labels is given without --real_rewards"),
        (["--real_rewards={r}"], "one of --labels and --real_labels is given"),
        (["--real_rewards={r}", "--real_labels={real_y}"], "has 4 labels for the 60 rewards"),
        (["--out=/proc/none"], "/proc/none"),
    ],
)
def test_bad_flags_are_told_and_leave_nothing(run, files, tmp_path, given, named):
    places = {name: files / f"{name}.npy" for name in ("r", "y", "real_y")}
    inputs = [f"--rewards={places['r']}", f"--labels={places['y']}", f"--out={tmp_path / 'out'}"]
    assert named in run(*inputs, *SMALL, *(flag.format(**places) for flag in given))
    assert not (tmp_path / "out").exists()


def test_a_mistake_ends_a_process_without_a_traceback(tmp_path):
    command = [
        sys.executable,
        "-m",
        "experiments.forecast",
        f"--rewards={tmp_path / 'none.npy'}",
        f"--out={tmp_path / 'o'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 1 and not (tmp_path / "o").exists()
    assert done.stderr.strip() == f"error: {tmp_path / 'none.npy'} cannot be read: No such file or directory"


def synthetic(classes, reached=True):
    share = np.random.default_rng(1).dirichlet(np.linspace(1, 9, classes), size=(1, 3))
    limit = share[:, -1] if reached else np.full((1, classes), np.nan)
    row, never = np.arange(3.0)[None], np.full((1, classes), np.inf)
    return Forecast(row, row + 1, share, row + 2, row + 3, row + 4, never, limit.argmax(axis=1), limit, row[:, 0])


def test_the_ten_largest_classes_are_shown_and_all_are_written():
    course = synthetic(12)
    least = np.argsort(course.share.max(axis=(0, 1)))[:2]
    said = report.table([course], ["1"])
    assert "λ = 1 (2 smaller classes are in the files alone)" in said
    assert [f"p({c})" in said for c in range(12)] == [c not in least for c in range(12)]
    assert len(list(csv.DictReader(report.by_class([course], ["1"]).splitlines()))) == 12


def test_a_forecast_that_rests_on_few_samples_says_so():
    """e^−KL of the samples: KL is 4, 5, 6 nats here, so 300, 110.4 and 40.6 of 16,380 even ones."""
    said = report.table([synthetic(2)], ["inf"], num=16380)
    assert [line.split()[4] for line in said.splitlines()[3:6]] == ["300", "110", "41"]
    assert "from t = 2 on it rests on fewer than 100 samples" in said
    assert "rests on" not in report.table([synthetic(2)], ["inf"])


def test_a_limit_that_was_not_reached_has_no_winner():
    course = synthetic(3, reached=False)
    assert "no class is predicted to win" in report.table([course], ["1"])
    rows = list(csv.DictReader(report.by_class([course], ["1"]).splitlines()))
    assert [row["winner"] for row in rows] == ["0", "0", "0"]


def test_the_figure_shows_what_was_forecast(monkeypatch):
    caught = []
    monkeypatch.setattr(figures.forecasts, "write", lambda path, figure: caught.append(figure))
    course = synthetic(3)
    ends = [jax.tree.map(lambda values, f=f: values * f, course) for f in (0.8, 1.1)]
    report.draw(
        Path("nowhere.png"), [course, *ends], ["2"], ("reward_mean", "entropy"), band="90 % band", title="Forecast"
    )
    (figure,) = caught
    shares, reward, entropy = figure.axes
    assert shares.get_title() == "real + curated, λ = 2" and figure.get_suptitle() == "Forecast"
    for c, (line, band) in enumerate(zip(shares.lines, shares.collections, strict=True)):
        np.testing.assert_array_equal(line.get_ydata(), course.share[0, :, c])
        assert math.isclose(band.get_datalim(shares.transData).ymax, 1.1 * course.share[0, :, c].max())
    np.testing.assert_array_equal(reward.lines[0].get_ydata(), course.reward_mean[0])
    np.testing.assert_array_equal(entropy.lines[0].get_ydata(), course.entropy[0])
    assert [ax.get_ylabel() for ax in (reward, entropy)] == ["mean reward E[r]", "class entropy (nats)"]
    assert len({line.get_color() for line in [*shares.lines, reward.lines[0]]}) == 4
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == [
        "class 0", "class 1", "class 2", "real + curated, λ = 2", "90 % band",
    ]  # fmt: skip


def test_one_class_is_not_drawn_and_names_must_fit(monkeypatch):
    caught = []
    monkeypatch.setattr(figures.forecasts, "write", lambda path, figure: caught.append(figure))
    report.draw(Path("nowhere.png"), [synthetic(1)], ["inf"], ("reward_mean", "kl"), band="", title="")
    assert [ax.get_ylabel() for ax in caught[0].axes] == ["mean reward E[r]", "KL to generation 0 (nats)"]
    with pytest.raises(ValueError, match="1 names for 3 classes"):
        figures.forecast("nowhere.png", {"share": synthetic(3).share}, rows=["a"], names=["b"])
