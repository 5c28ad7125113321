"""The wheel in a clean environment, used from another folder."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest
from test_examples import ROOT, blocks

pytestmark = pytest.mark.long


def said(*command, cwd):
    """What a command prints, without the checkout in its path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XLA_", "JAX_"))}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=clean)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy, so that the checkout gets no build folder."""
    source, folder = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "site", "build", "*.egg-info"))
    status, text = said(sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--wheel-dir", folder, cwd=source)
    assert status == 0, text
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """A folder of a user, and the Python of an environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "environment", with_pip=True)
    python = folder / "environment/bin/python"
    status, text = said(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    assert status == 0, text
    return folder, python


def test_the_wheel_holds_the_library_its_type_marker_and_its_licence_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"curated_retraining"}
    assert "curated_retraining/py.typed" in names and any(name.endswith("licenses/LICENSE") for name in names)
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "curated_retraining").rglob("*.py")}
    assert ours == {name for name in names if name.startswith("curated_retraining/") and name.endswith(".py")}


def test_the_first_example_of_the_readme_runs_and_every_module_can_be_imported(elsewhere):
    folder, python = elsewhere
    (folder / "first.py").write_text(blocks("README.md", "python")[0])
    status, text = said(python, "first.py", cwd=folder)
    assert status == 0 and "(3, 4, 5)" in text, text
    walk = (
        "import pkgutil, importlib, curated_retraining as cr\n"
        "for info in pkgutil.walk_packages(cr.__path__, 'curated_retraining.'): importlib.import_module(info.name)\n"
        "print([name for name in cr.__all__ if not hasattr(cr, name)], cr.__file__)"
    )
    status, text = said(python, "-c", walk, cwd=folder)
    assert status == 0 and text.startswith("[] ") and str(folder) in text, text


def test_a_type_checker_sees_the_types(elsewhere):
    folder, python = elsewhere
    (folder / "typed.py").write_text("import curated_retraining as cr\n\nreveal_type(cr.gmm(2))\ncr.gmm('two')\n")
    status, text = said(sys.executable, "-m", "pyright", "--pythonpath", python, "typed.py", cwd=folder)
    assert status == 1 and 'Type of "cr.gmm(2)" is "Model"' in text and "reportArgumentType" in text, text


def test_what_is_optional_says_what_to_install(elsewhere):
    folder, python = elsewhere
    for call, command in (
        ("cr.export.to_pandas({'level': [1.0]})", "pip install pandas"),
        ("from curated_retraining import datasets; datasets.digits()", "pip install scikit-learn"),
    ):
        status, text = said(python, "-c", f"import curated_retraining as cr; {call}", cwd=folder)
        assert status == 1 and text.rstrip().endswith(command), text


def test_a_folder_called_experiments_is_the_users_own(elsewhere):
    folder, python = elsewhere
    (folder / "experiments").mkdir()
    (folder / "experiments/mine.py").write_text("import curated_retraining\n\nprint('mine')\n")
    assert said(python, "-m", "experiments.mine", cwd=folder) == (0, "mine\n")
