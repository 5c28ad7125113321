"""Every block of code in the README and in docs/: Python is run, page by page, commands are parsed by their flags.

Notebooks are run by the site's build.
"""

import importlib.util
import re
import runpy
import shlex
import sys
from pathlib import Path

import jax
import pytest
from absl import flags

from experiments import common

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(python -m [^`]+)`")


def blocks(page, *languages):
    return [text for language, text in BLOCK.findall((ROOT / page).read_text()) if language in languages]


def commands(page):
    """What follows `python -m` in each command of a page."""
    text = "\n".join(blocks(page, "", "bash", "sh")) + "\n" + "\n".join(INLINE.findall((ROOT / page).read_text()))
    parts = [part.strip() for part in re.split(r"\n|&&", text.replace("\\\n", " "))]
    return [shlex.split(part)[2:] for part in parts if part.startswith("python -m ")]


COMMANDS = sorted({tuple(command) for page in PAGES for command in commands(page)})


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_blocks_of_a_page_run_one_after_another(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    # As a user has it; JAX takes the keys of a scan under vmap for used twice.
    with jax.debug_key_reuse(False), jax.numpy_rank_promotion("allow"):
        for block in blocks(page, "python"):
            exec(compile(block, page, "exec"), names)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # other tests import the experiments
@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0].startswith("experiments.")], ids=" ".join)
def test_a_command_is_one_that_its_experiment_takes(command, monkeypatch):
    """Up to where it would run: the flags are defined by the script itself, parsed and validated."""
    name, *given = command
    before, parsed = set(flags.FLAGS), []

    def parse(main, *, arguments=""):
        del main
        left = flags.FLAGS([name, *given])
        parsed.append(left[:1] if arguments else left)

    monkeypatch.setattr(common, "launch", parse)
    monkeypatch.setattr(sys, "argv", [name, *given])
    try:
        runpy.run_module(name, run_name="__main__")
    finally:
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)
    assert parsed == [[name]], f"what is left over is no flag: {parsed}"


@pytest.mark.parametrize("module", sorted({c[0] for c in COMMANDS if not c[0].startswith("experiments.")}))
def test_the_module_of_a_command_is_there(module):
    assert importlib.util.find_spec(module)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_a_wrong_flag_or_value_in_a_command_would_be_seen(monkeypatch):
    for wrong in ("--gama=3", "--lam=-1", "stray"):
        with pytest.raises((flags.Error, AssertionError)):
            test_a_command_is_one_that_its_experiment_takes(("experiments.gmm", wrong), monkeypatch)
