"""The phase diagram as a user runs it: trained loops near exact cells, tables and figures, mistakes in one line."""

import contextlib
import csv
import io
import json
import re

import jax
import numpy as np
import pytest
from absl import flags
from commands import command

from curated_retraining.driver import RunError, generations
from experiments import phase_diagram
from experiments.phase import exact, report

MIB = 2**20
SMALL = [
    "--axes=lam,gamma", "--grid=2", "--horizon=6", "--trained=2,2", "--generations=4", "--seeds=2", "--curated=1000",
    "--real=2000", "--steps=4", "--first_steps=30",
]  # fmt: skip


@pytest.fixture(scope="module")
def run():
    before = set(flags.FLAGS)
    with command(phase_diagram) as call:
        others = set(flags.FLAGS) - before - set(phase_diagram.FLAGS_OF_RESULTS)
        assert others == {"every", "keep", "memory", "out"}  # these change no result
        yield call


@pytest.fixture(scope="module")
def played(run, tmp_path_factory):
    """A small map with trained loops: its folder, what it said, and the bytes of its programs of loops."""
    out, said, taken = tmp_path_factory.mktemp("runs") / "phase", io.StringIO(), []

    def compiling(function, *args, really=generations.compiled, **options):
        program = really(function, *args, **options)
        taken.append(exact.bytes_of(program))
        return program

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(generations, "compiled", compiling)
        assert run(*SMALL, "--model=gmm", f"--out={out}") is None
    return out, said.getvalue(), taken


@pytest.fixture(scope="module")
def finished(played):
    return played[0]


def test_memory_is_as_reckoned(played):
    _, said, of_loops = played
    exact_maps = re.findall(r"reckoned memory (\S+) MiB, (\S+) MiB by the compiler", said)
    ((reckoned,),) = [re.findall(r"one loop at a time; reckoned memory (\S+) MiB", said)]
    assert len(exact_maps) == 2 and len(of_loops) == 2
    for ours, theirs in exact_maps:
        assert 0.4 < float(ours) / float(theirs) < 2.5  # the compiler says the same since JAX 0.10, half of it before
    assert 1 / 3 < float(reckoned) * MIB / max(of_loops) < 3


def test_a_run_leaves_tables_figures_and_loops(finished):
    rows = list(csv.DictReader((finished / "lam_gamma.csv").open()))
    assert [(row["lam"], row["gamma"]) for row in rows] == [
        ("0.02", "0.5"), ("20.0", "0.5"), ("0.02", "50.0"), ("20.0", "50.0"),
    ]  # fmt: skip
    assert {"reward", "entropy", "kl", "minority", "collapse"} <= rows[0].keys()
    assert (finished / "figures/lam_gamma.png").stat().st_size > 10_000
    loops = list(csv.DictReader((finished / "trained/k=4/metrics.csv").open()))
    assert len(loops) == 4 * 2 * 5
    at_zero = {(row["lam"], row["gamma"]): row for row in loops if row["generation"] == row["seed"] == "0"}
    scaled = [float(row["reward_mean"]) / float(gamma) for (_, gamma), row in at_zero.items()]
    assert len(scaled) == 4
    np.testing.assert_allclose(scaled, scaled[0], rtol=1e-5)  # one model of the data, rewards as of each cell
    config = json.loads((finished / "config.json").read_text())["flags"]
    assert config["model"] == "gmm" and config["curated"] == 1000 and config["lam"] == 0.25
    assert {*phase_diagram.FLAGS_OF_RESULTS, "experiment", "prng"} == config.keys()


def test_trained_loops_come_near_the_exact_ones(finished):
    predicted = report.from_csv((finished / "lam_gamma_at_trained.csv").read_text(), (2, 2))
    near_course(report.from_csv((finished / "lam_gamma_trained.csv").read_text(), (2, 2)), predicted)
    assert np.ptp(predicted["reward"]) > 0.8 and predicted["kl"].max() > 1


def near_course(measured, predicted):
    """Asserts that means over two seeds are near the exact ones.

    4.5 standard errors of the reward, 0.017; KL is more by what the learner adds, and now and then by much.
    """
    assert (np.abs(measured["reward"] - predicted["course_reward"]) < 0.08).all()
    assert (np.abs(measured["kl"] - predicted["course_kl"]) < 0.25).all()  # nats


def test_the_same_command_reads_and_another_is_refused(finished, run, capsys):
    def numbers():
        return {path: path.read_bytes() for path in finished.rglob("*") if path.is_file() and path.suffix != ".png"}

    before = numbers()
    assert run(*SMALL, "--model=gmm", f"--out={finished}", "--memory=100") is None
    said = capsys.readouterr().out
    assert "lam_gamma.csv is complete" in said and "k=4 is complete" in said and "largest |difference| of kl" in said
    assert "horizon=6, not 7" in run(*SMALL, "--model=gmm", f"--out={finished}", "--horizon=7")
    assert 'model="gmm", not "exact"' in run(*SMALL, f"--out={finished}")
    with jax.default_prng_impl("rbg"):
        assert 'prng="threefry2x32", not "rbg"' in run(*SMALL, "--model=gmm", f"--out={finished}")
    assert numbers() == before


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_table_is_not_read(tmp_path, damage):
    path = tmp_path / "map.csv"
    assert report.kept(path) is None
    report.keep(path, "λ,kl\n1.0,0.125\n")
    assert report.kept(path) == "λ,kl\n1.0,0.125\n"
    path.write_text({"flip": "λ,kl\n1.0,0.135\n", "cut": "λ,kl\n1.0,0.1"}[damage])
    with pytest.raises(RunError, match=r"map\.csv is damaged: remove it, and the same command makes it again"):
        report.kept(path)
    path.with_name("map.csv.sha256").unlink()  # as where the process was killed before it was there
    assert report.kept(path) is None


def test_a_run_cut_off_goes_on_to_the_same_bits(finished, run):
    """The last two checkpoints of a K are taken away, with all that was made after them."""
    before = (finished / "trained/k=4/metrics.csv").read_bytes()
    for generation in ("3", "4"):
        taken = finished / "trained/k=4/checkpoints" / generation
        taken.rename(finished.parent / f"taken-{generation}")
    (finished / "trained/k=4/metrics.csv").unlink()
    (finished / "lam_gamma_trained.csv").rename(finished.parent / "before.csv")
    assert run(*SMALL, "--model=gmm", f"--out={finished}") is None
    assert (finished / "trained/k=4/metrics.csv").read_bytes() == before
    assert (finished / "lam_gamma_trained.csv").read_bytes() == (finished.parent / "before.csv").read_bytes()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--axes=k,lam"], "--axes=k,lam"),
        (["--grid=1"], "--grid=1"),
        (["--k=0.5"], "--k=0.5"),
        (["--lam=inf"], "--lam=inf"),
        (["--gamma=0"], "--gamma=0"),
        (["--target=1"], "--target=['1']"),
        (["--trained=4"], "--trained=['4']"),
        (["--generations=2"], "--generations=2"),
        (["--model=gmm", "--k=2.5"], "--k=2.5"),
        (["--model=gmm", "--generations=9"], "--generations=9"),
        (["--memory=1"], "--memory=1"),
        (["--gamma=1e38", "--temperature=1e-300"], "--memory=256"),
        (["--r_min=9"], "--r_min=9"),
        (["--model=fame"], "--model=fame"),
    ],
)
def test_bad_flags_are_told_in_a_line_and_leave_nothing(run, tmp_path, given, named):
    said = run(*SMALL, f"--out={tmp_path / 'run'}", *given)
    assert said is not None and named in said and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
