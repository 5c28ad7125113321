"""Points that set measured changes beside predicted ones, and curves over another axis than generations."""

import numpy as np
from matplotlib.colors import to_rgba
from PIL import Image

from curated_retraining import figures
from curated_retraining.figures.style import COLOURS

RNG = np.random.default_rng(0)
VALUES = {"one": {"a": RNG.normal(size=(2, 9)), "b": RNG.normal(size=(2, 5))}, "other": {"b": RNG.normal(size=(2, 4))}}


def test_points_are_where_they_should_be_in_the_colour_of_their_kind(drawn):
    figure = drawn(figures.agreement, VALUES, axes=("predicted", "measured"))
    for ax, (title, kinds) in zip(figure.axes, VALUES.items(), strict=True):
        dots = [line for line in ax.lines if line.get_linestyle() == "None"]
        assert ax.get_title() == title and len(dots) == len(kinds)
        for line, (kind, pair) in zip(dots, kinds.items(), strict=True):
            np.testing.assert_array_equal(line.get_data(), pair)
            assert to_rgba(line.get_color()) == to_rgba(COLOURS["ab".index(kind)])
            for values, limits in zip(pair, (ax.get_xlim(), ax.get_ylim()), strict=True):
                assert limits[0] < values.min() and values.max() < limits[1]
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"a", "b", "equal", "signs differ"}


def test_the_file_is_a_whole_picture(tmp_path):
    figures.agreement(tmp_path / "gains.png", VALUES, axes=("predicted", "measured"))
    with Image.open(tmp_path / "gains.png") as image:
        image.load()


def test_curves_go_over_another_axis_where_it_is_given(drawn):
    runs, x = RNG.random((2, 3, 4)), np.array([0.0, 0.1, 0.5, 1.0])
    bounds = {"end": [("limit", np.ones((2, 4)))]}
    figure = drawn(
        figures.curves, {"end": runs}, {"end": runs[:, 0]}, rows=["a", "b"], bounds=bounds, x=x, axis="share"
    )
    (ax,) = figure.axes
    assert ax.get_xlabel() == "share" and len(ax.lines) == 6
    for line in ax.lines:
        np.testing.assert_array_equal(line.get_xdata(), x)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), runs[0].mean(axis=0))
