"""Pages of help, the list of experiments, and what is said of a flag or an experiment that there is not."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver
from commands import defined

from experiments import __main__ as listed
from experiments import common, devices, helps

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules")
EXPERIMENTS = listed.experiments()


@pytest.fixture
def define():
    """Defines the flags of an experiment until the test ends; returns its page."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(defined(name))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_page_has_an_example_and_every_flag_once_in_a_group(name, define):
    before = set(flags.FLAGS)
    page = define(name)
    ours = set(flags.FLAGS) - before
    assert ours == {flag.name for flag in common.ours()}
    described, *groups = page.split("\n\nExample")
    assert described.startswith(EXPERIMENTS[name][:40]) and len(described) > 150
    assert f"python -m experiments.{name}" in groups[0]
    for flag in ours:
        assert helps.group_of(flags.FLAGS[flag]) in helps.GROUPS
        heads = [line for line in page.splitlines() if line.startswith((f"  --{flag}", f"  --[no]{flag}"))]
        (head,) = [line for line in heads if line.split()[0].removeprefix("--[no]").strip("-").split("=")[0] == flag]
        default = flags.FLAGS[flag].default
        assert ("(default " in head) == (default is not None), head
    assert "repeat this option" not in page and "|" not in page.replace("‖", "")


def test_a_page_tells_defaults_limits_and_choices_and_fits_the_width(define, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    page = define("gmm")
    assert "  --k=N  (default 4)\n      K, the size of the groups that an annotator chooses\n" in page
    assert "at least 2" in page and "  --lam=A,B,...  (default inf,1)" in page
    assert "what the annotators like; one of distance," in page
    assert page.index("What is played") < page.index("The loop") < page.index("Where results go") < page.index("--out=")
    assert max(len(line) for line in page.splitlines() if not line.startswith(" ")) <= 60


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_number_has_bounds(name, define):
    define(name)
    given = ["--rewards=r.npy"] if name == "forecast" else []  # which it needs
    for flag in common.ours():
        finite = [] if "or inf" in flag.help else ["inf"]
        wrong = {"float": ["-1", "nan", *finite], "int": ["-1", "9" * 30]}.get(flag.flag_type(), [])
        for text in [] if flag.name in devices.FLAGS else wrong:
            with flagsaver.flagsaver(), pytest.raises(flags.Error, match=f"--{flag.name}="):
                flags.FLAGS([name, *given, f"--{flag.name}={text}"])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("gmm", ["--lam=1,1.0", "--out=", "--seeds=10001", "--generations=10001"]),
        ("crowd", ["--k=²", "--k=2,02", "--k=" + "9" * 5000, "--q=0.1,0.10", "--q=nan", "--lapse=1"]),
        ("alignment", ["--n=²", "--n=0", "--n=" + "9" * 5000, "--n=2,2", "--beta=1,1"]),
        ("phase_diagram", ["--trained=²,3", "--trained=4,1001", "--grid=1001"]),
        ("mitigation", ["--mode_bonuses=inf", "--quotas=0.5,0.5"]),
        ("detection", ["--k=2,2", "--lam=nan"]),
    ],
)
def test_what_is_no_number_or_comes_twice_is_refused(name, wrong, define):
    define(name)
    for flag in wrong:
        with flagsaver.flagsaver(), pytest.raises(flags.Error, match=flag.partition("=")[0]):
            flags.FLAGS([name, flag])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--gama=3", "error: unknown flag --gama: did you mean --gamma? --help lists them"),
        ("--generation=3", "error: unknown flag --generation: did you mean --generations? --help lists them"),
        ("--xyzzy", "error: unknown flag --xyzzy; --help lists them"),
    ],
)
def test_an_unknown_flag_brings_the_nearest(define, wrong, said):
    define("gmm")
    with pytest.raises(SystemExit) as ended:
        helps.parsed(["gmm", wrong], "", common.ours())
    assert ended.value.code == said


def test_a_wrong_value_is_told_in_a_line(define):
    define("gmm")
    with pytest.raises(SystemExit) as ended:
        helps.parsed(["gmm", "--k=1"], "", common.ours())
    assert str(ended.value.code).startswith("error: flag --k=1:") and "\n" not in str(ended.value.code)


@pytest.mark.parametrize("command", [["experiments"], ["experiments.gmm", "--help"]])
def test_who_reads_what_is_printed_may_stop(command):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (process.returncode, process.stderr) == (141, b"")


@pytest.mark.parametrize("asked", ["--help", "-help", "--helpshort", "-h"])
def test_a_wish_for_help_is_no_failure(define, asked, capsys):
    define("gmm")
    with pytest.raises(SystemExit) as ended:
        helps.parsed(["gmm", "--k=1", asked], "What it plays.\n\npython -m experiments.gmm\n", common.ours())
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("What it plays.\n")


def test_a_group_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'Odds'"), helps.group("Odds"):
        pass


def test_the_list_has_every_experiment_in_a_line_and_imports_no_jax(capsys):
    listed.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == sorted(EXPERIMENTS) and "gmm" in EXPERIMENTS
    assert all(len(line) <= 140 and EXPERIMENTS[line.split()[0]] in line for line in lines[2:])
    run = "import sys, runpy; sys.argv = ['x']; runpy.run_module('experiments', run_name='__main__')"
    script = f"{run}; print('jax' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT).stdout
    assert said.splitlines() == [*lines, "False"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("gmn", "did you mean python -m experiments.gmm?"),
        ("gmm", "a module of its own: python -m experiments.gmm"),
        ("xyzzy", "no experiment is called xyzzy; python -m experiments lists them"),
    ],
)
def test_a_word_that_is_no_experiment_brings_the_nearest(word, said):
    with pytest.raises(SystemExit) as ended:
        listed.main([word])
    assert said in str(ended.value.code)
