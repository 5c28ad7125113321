import numpy as np
import pytest
from PIL import Image

from curated_retraining import figures

RNG = np.random.default_rng(0)
MEASURED = {"one": {"a": RNG.random((3, 4, 3)), "b": RNG.random((3, 2, 3))}, "two": {"b": RNG.random((3, 2, 3))}}
EXACT = {problem: {name: RNG.random(runs.shape[1:]) for name, runs in of.items()} for problem, of in MEASURED.items()}
EXACT["one"]["a"][0, 2] = 1e-9
OPTIMUM = {"one": RNG.random((9, 2)), "two": RNG.random((9, 2))}


def test_the_file_is_a_whole_picture(tmp_path):
    figures.frontier(tmp_path / "frontier.png", MEASURED, EXACT, OPTIMUM)
    with Image.open(tmp_path / "frontier.png") as image:
        image.load()
        assert image.format == "PNG" and image.width > 1400


def test_lines_are_means_and_dashed_ones_exact(drawn):
    figure = drawn(figures.frontier, MEASURED, EXACT, OPTIMUM, apart=["b"])
    upper, other, lower, _ = figure.axes
    optimum, a, a_exact, b, b_exact = (line for line in upper.lines if len(line.get_xydata()))
    np.testing.assert_allclose(optimum.get_xydata(), OPTIMUM["one"])
    np.testing.assert_allclose(a.get_xydata(), MEASURED["one"]["a"].mean(axis=0)[:, :2])
    np.testing.assert_allclose(a_exact.get_xydata(), EXACT["one"]["a"][:, :2])
    assert a_exact.get_linestyle() == "--" and a_exact.get_color() == a.get_markeredgecolor() != b.get_markeredgecolor()
    np.testing.assert_allclose(b_exact.get_xydata(), EXACT["one"]["b"][:, :2])
    assert b.get_linestyle() == b_exact.get_linestyle() == "None" and b_exact.get_markerfacecolor() == "none"
    assert other.lines[1].get_markeredgecolor() == b.get_markeredgecolor()  # a method keeps its colour
    below = next(line for line in lower.lines[1:] if line.get_linestyle() == "--").get_xydata()
    np.testing.assert_allclose(below[1:], EXACT["one"]["a"][1:, ::2])
    assert below[0, 1] == lower.get_ylim()[0] == 1e-3 and lower.get_yscale() == "log"


def test_places_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="b of two has no exact places"):
        figures.frontier("nowhere.png", MEASURED, EXACT | {"two": {"b": np.zeros((3, 3))}}, OPTIMUM)
    with pytest.raises(ValueError, match="problems differ"):
        figures.frontier("nowhere.png", MEASURED, EXACT, {"one": OPTIMUM["one"]})
