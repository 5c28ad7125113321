"""Points that set measured changes beside predicted ones."""

import numpy as np
from looks import texts
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
    assert set(texts(figure)) == {"a", "b", "equal", "signs differ"}


def test_the_file_is_a_whole_picture(tmp_path):
    figures.agreement(tmp_path / "gains.png", VALUES, axes=("predicted", "measured"))
    with Image.open(tmp_path / "gains.png") as image:
        image.load()
