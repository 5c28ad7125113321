"""What the documents promise: statements have functions and tests, links lead somewhere, the gallery is complete."""

import re
from pathlib import Path

import pytest

from curated_retraining import theory

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
MADE = {path.with_suffix(".md") for path in ROOT.glob("docs/notebooks/*.py")}  # by the site's build


def test_the_map_of_the_theory_names_what_there_is():
    rows = [line for line in (ROOT / "docs/theory.md").read_text().splitlines() if line.startswith("| ")]
    mapped, tests = set(), 0
    for row in rows:
        _, functions, evidence = (cell for cell in row.strip("| ").rsplit(" | ", 2))
        mapped |= set(re.findall(r"[a-z_]+", functions)) & set(theory.__all__)
        source = ""
        for file, name in re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", evidence):
            source = (ROOT / "tests/theory" / file).read_text() if file else source
            assert not name or f"def {name}(" in source, f"{row} names a test that is not there"
            tests += bool(name)
    assert tests > 25
    assert set(theory.__all__) - mapped == {"curated_share", "sums"}


def anchors(page):
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists() or path in MADE, f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page.name} links to {target}"


def test_the_gallery_shows_every_experiment_with_its_command():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs/gallery.md").read_text(), re.M | re.S))
    scripts = {path.stem: path for path in (ROOT / "experiments").glob("*.py")}
    scripts |= {path.parent.name: path for path in (ROOT / "experiments").glob("*/__main__.py")}
    assert set(sections) == {name for name, path in scripts.items() if "common.launch(" in path.read_text()}
    for name, section in sections.items():
        assert f"python -m experiments.{name}" in section
        assert f"(gallery/{name}.png)" in section
    for picture in (ROOT / "docs/gallery").iterdir():
        assert picture.stat().st_size <= 300_000, picture


def test_the_reference_has_every_module_with_public_functions():
    """`::: package.*` is all of a package's."""
    shown = {
        name for page in ROOT.glob("docs/reference/*.md") for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)
    }
    for path in (ROOT / "curated_retraining").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        public = re.search(r"^(def|class) [a-zA-Z]", path.read_text(), re.M)
        of_all = f"{module.rpartition('.')[0]}.*" in shown
        assert (module in shown) == (bool(public) and not of_all), module
