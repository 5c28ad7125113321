"""The report: what its page says of runs, and how it behaves in a browser that may fetch nothing."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver

from curated_retraining import figures
from experiments import twins
from experiments.report import __main__ as report
from experiments.report import courses, numbers, runs
from experiments.report.page import page

TRICKY = "<script>alert(\"x\")</script> & 'more'"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


def written(folder, *, seeds=2, generations=3, top=0.1, frames=True, exact=twins.EXACT, **settings):
    """A run as an experiment leaves it: top mass rises by `top` a generation, seed 1 is 0.02 above its exact course."""
    folder.mkdir(parents=True)
    given = {"reward": "distance", "k": 4, "lam": ["inf", "1"], "note": None} | settings
    config = {"flags": given, "versions": {"python": "3.11", "jax": "0.10.2"}, "device": "cpu"}
    (folder / "config.json").write_text(json.dumps(config))
    cells = [{"lam": lam, "seed": seed} for lam in ("inf", "1") for seed in range(seeds)]
    course = top * np.arange(generations)
    measured = np.stack([course + 0.02 * cell["seed"] for cell in cells])
    twins.leave(folder, {"top_mass": measured, "alone": measured}, cells, "metrics.csv")
    if exact:
        twins.leave(folder, {"top_mass": np.stack([course, course])}, twins.over_seeds(cells), exact)
    (folder / "figures").mkdir()
    picture = np.random.default_rng(generations).integers(0, 256, (2, generations, 4, 8, 8, 1)).astype(np.uint8)
    figures.sample_grids(folder / "figures/curves.png", picture[:1], rows=["a"])
    if frames:
        figures.sample_frames(folder / "figures/frames", picture, rows=["lam=inf", "lam=1"])
    (folder / "checkpoints/0").mkdir(parents=True)
    (folder / "checkpoints/0/commit.txt").write_text("no part of the report")
    return folder


class Page(HTMLParser):
    """The tags, and the tables as lists of rows, of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self._cell = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._rows, self._title = [], ""
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th", "caption"):
            self._cell = ""

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag == "caption":
            self._title, self._cell = self._cell, None
        if tag in ("td", "th"):
            self._rows[-1].append(self._cell)
            self._cell = None
        if tag == "table":
            self.tables.setdefault(self._title, []).append(self._rows)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two runs of other settings and lengths, and their page."""
    folder = tmp_path_factory.mktemp("runs")
    first = written(folder / "first")
    second = written(folder / "second", top=0.2, generations=5, k=8)
    return first, second, page([runs.read(first), runs.read(second)])


def test_the_page_tells_settings_environment_and_numbers(two):
    first, second, text = two
    found = Page(text).tables
    (settings,) = found["Flags that the results depend on"]
    assert settings[0] == ["flag", str(first), str(second)]
    assert settings[1:] == [
        ["reward", "distance", "distance"], ["k (differs)", "4", "8"], ["lam", "inf, 1", "inf, 1"],
        ["note", "null", "null"],
    ]  # fmt: skip
    (environment,) = found["Versions and device of the first start"]
    assert environment[-1] == ["device", "cpu", "cpu"]
    (summary, _) = found["Measured, mean over seeds, against exact"]
    assert summary[0][-1] == "exact" and len(summary) == 2  # `alone` has no twin
    assert summary[1][:3] == ["top_mass", "0.01", "0.01"]  # the mean of 0 and 0.02; half their difference
    by_generation, _ = found["top_mass by generation"]
    assert by_generation[0] == ["", "t = 0", "t = 1", "t = 2"]
    assert by_generation[1:5] == [
        ["λ = ∞: measured, mean of 2 seeds", "0.01", "0.11", "0.21"],
        ["λ = ∞: ± standard error", "0.01", "0.01", "0.01"],
        ["λ = ∞: exact", "0", "0.1", "0.2"],
        ["λ = ∞: difference", "0.01", "0.01", "0.01"],
    ]
    assert [row[0] for row in found["alone by generation"][0]][1:3] == [
        "λ = ∞: measured, mean of 2 seeds", "λ = ∞: ± standard error",
    ]  # fmt: skip
    (ends,) = (rows for title, (rows, *_) in found.items() if title.startswith("The last generation"))
    assert ends[1] == ["top_mass, λ = ∞", "0.21 ± 0.01 | 0.2 (t = 2)", "0.81 ± 0.01 | 0.8 (t = 4)"]


def test_the_page_is_complete_in_itself(two):
    first, second, text = two
    tags = Page(text).tags
    assert text.startswith("<!DOCTYPE html>") and f"<title>Report: {first}, {second}</title>" in text
    for tag, attributes in tags:
        links = [attributes[name] for name in ("src", "href", "action", "srcset") if name in attributes]
        assert all(link.startswith(("data:", "#")) for link in links), (tag, links)
        assert tag not in ("link", "iframe", "object") or attributes.get("rel") == "icon"
    assert "@import" not in text and "url(" not in text and "commit.txt" not in text
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert len(pictures) == 2 + 2 * 3 + 2 * 5 and all(picture["alt"] for picture in pictures)
    begun = (first / "figures/frames/lam=1/t=0002.png").read_bytes()
    assert [base64.b64decode(p["src"].partition(",")[2]) for p in pictures].count(begun) == 1


def test_what_comes_from_a_run_is_escaped(tmp_path):
    folder = written(tmp_path / "a<b>&", note=TRICKY, frames=False)
    (folder / "said.txt").write_text(TRICKY)
    (folder / "more.csv").write_text(f"name,value\n{'<i>x</i>'},1.23456\n")
    text = page([runs.read(folder)])
    assert "<i>" not in text and "alert(" in text and "<script>alert" not in text and "a<b>" not in text
    assert Page(text).tables["more.csv"] == [[["name", "value"], ["<i>x</i>", "1.235"]]]
    assert len([tag for tag, _ in Page(text).tags if tag == "script"]) == 1


def test_what_a_run_lacks_is_said(tmp_path):
    text = page([runs.read(written(tmp_path / "bare", frames=False, exact="", seeds=1))])
    assert "no pictures of single generations" in text and "<input" not in text
    assert "no course to compare with" in text and "standard error" not in text
    text = page([runs.read(written(tmp_path / "told", exact=twins.FORETOLD))])
    assert "against forecast from generation 0" in text and "against exact</caption>" not in text


def test_parts_of_a_run_are_told_apart(tmp_path):
    for model in ("finite", "gmm"):
        written(tmp_path / "cyclic" / model, frames=False, model=model)
    run = runs.read(tmp_path / "cyclic")
    assert [part.name for part in run.parts] == ["finite", "gmm"] and run.settings["model"] == ["finite", "gmm"]


def test_many_generations_are_thinned_and_a_gap_is_no_number(tmp_path):
    run = runs.read(written(tmp_path / "long", generations=60))
    assert sorted(run.frames.rows["lam=1"])[::23] == [0, 59] and len(run.frames.rows["lam=1"]) == 24
    part = run.parts[0]._replace(twin=[row | {"top_mass": "nan"} for row in run.parts[0].twin])
    assert courses.worst(courses.courses(part)["top_mass"]) is None
    (rows,) = Page("\n".join(numbers.of_part(part))).tables["top_mass by generation, 25 of 60 generations"]
    assert rows[0][1] == "t = 0" and rows[0][-1] == "t = 59" and set(rows[3][1:]) == {"–"}


@pytest.fixture
def command():
    """Calls the report as its command does, and returns the mistake that it told, if any."""
    report.define()

    def call(*arguments):
        with flagsaver.flagsaver():
            folders = flags.FLAGS(["report", *map(str, arguments)])[1:]
            try:
                report.main(*folders)
            except app.UsageError as error:
                return str(error)

    yield call
    delattr(flags.FLAGS, "out")


def test_the_command_writes_one_file_the_same_each_time(command, tmp_path, capsys):
    run = written(tmp_path / "run")
    before = sorted(run.rglob("*"))
    assert command(run) is None and sorted(run.rglob("*")) == sorted([*before, run / "report.html"])
    first = (run / "report.html").read_bytes()
    assert command(run, f"--out={tmp_path}/other.html") is None
    assert (tmp_path / "other.html").read_bytes() == first and "other.html" in capsys.readouterr().out


def test_what_is_no_run_is_told_in_a_line(command, tmp_path):
    run = written(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([], "no folder is given"),
        ([tmp_path / "none"], "none is no folder"),
        ([tmp_path / "empty"], "holds no run"),
        ([run, run], "given twice"),
        ([run, "--out=page.txt"], "--out=page.txt"),
        ([run, f"--out={tmp_path}/not/there.html"], "there.html"),
    ):
        told = command(*arguments)
        assert told is not None and said in told and len(told.splitlines()) == 1
    written(tmp_path / "other", k=8, reward="fame")
    assert "holds several runs" in command(tmp_path)
    shutil.rmtree(tmp_path / "other")
    (run / "metrics.csv").write_text("lam,seed,generation,top_mass\ninf,0,0")
    assert "no whole table" in command(run)
    for line in ("inf,0,0,many", "inf,0,half,1", ",,,"):
        (run / "metrics.csv").write_text(f"lam,seed,generation,top_mass\n{line}\n")
        assert "no table of numbers by generation" in command(run)
    (run / "config.json").write_text("[]")
    assert "not a run's config" in command(run)
    assert not list(tmp_path.rglob("*.html"))


@pytest.fixture(scope="module")
def browser(two, tmp_path_factory):
    """Chromium without a network, on the page of two runs."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(two[2], encoding="utf-8")
    yield driver, path.as_uri()
    driver.quit()


def shown(driver):
    """What each row of frames shows: the caption's generation and the visible pictures'."""
    return driver.execute_script(
        "return [...document.querySelectorAll('.frames')].map(row => [row.querySelector('.at').textContent,"
        "...[...row.querySelectorAll('img')].filter(p => p.offsetHeight > 0).map(p => p.dataset.t)])"
    )


def test_in_a_browser_the_slider_moves_by_keys_and_nothing_is_fetched(browser):
    driver, address = browser
    driver.get_log("performance")
    driver.get(address)
    slider = driver.find_element("id", "generation")
    assert shown(driver) == [["t = 0", "0"]] * 4 and slider.accessible_name == "Generation"
    slider.send_keys("\ue014")  # arrow right
    assert shown(driver) == [["t = 1", "1"]] * 4 and driver.find_element("id", "shown").text == "t = 1"
    slider.send_keys("\ue010")  # end: the first run has no more than three generations
    assert shown(driver) == [["t = 2", "2"]] * 2 + [["t = 4", "4"]] * 2
    assert slider.get_attribute("aria-valuetext") == "generation 4"
    slider.send_keys("\ue012")  # arrow left
    assert shown(driver) == [["t = 2", "2"]] * 2 + [["t = 3", "3"]] * 2
    sizes = driver.execute_script("return [...document.images].map(p => p.naturalWidth)")
    assert len(sizes) == 18 and min(sizes) > 0  # every picture is there
    assert driver.get_log("browser") == []  # what the console said
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert address in asked and {url for url in asked if not url.startswith("data:")} == {address}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_a_narrow_page_does_not_scroll_sideways(browser, scheme):
    driver, address = browser
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    driver.get(address)
    driver.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    widths = "const root = document.documentElement; return [innerWidth, root.scrollWidth - root.clientWidth]"
    assert driver.execute_script(widths) == [360, 0]
    wide = (
        "return [...document.querySelectorAll('.scroll')].filter(p => p.scrollWidth > p.clientWidth && p.tabIndex == 0)"
    )
    assert len(driver.execute_script(wide)) >= 3  # tables and figures scroll inside themselves
    ink, paper = driver.execute_script(
        "const look = getComputedStyle(document.body); return [look.color, look.backgroundColor]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (brightness[0] > brightness[1]) == (scheme == "dark") and abs(brightness[0] - brightness[1]) > 500
