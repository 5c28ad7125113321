import numpy as np
import pytest
from looks import texts
from PIL import Image

from curated_retraining import figures

X, DENSE = np.array([0.0, 1.0, 2.0]), np.linspace(0, 2, 9)
RUNS = np.random.default_rng(0).normal(size=(2, 4, 3))  # [rows, seeds, x]
RUNS[:, :, 0] = np.nan
EXACT = np.stack([DENSE, -DENSE])
LOOK = {"x": X, "exact_x": DENSE, "axis": "strength", "rows": ["p", "q"], "labels": {"j": "alignment J"}}
MARKS = {"marks": np.array([0.5, 7.0]), "marks_label": "turns", "zero": ["j"]}


def test_points_are_means_with_their_range_and_lines_are_exact(drawn):
    figure = drawn(figures.along, {"j": RUNS}, {"j": EXACT}, **LOOK, **MARKS)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("strength", "alignment J")
    for row, container in enumerate(ax.containers):
        points, _, (bars,) = container
        np.testing.assert_array_equal(points.get_xdata(), X[1:])  # where nothing was measured there is no point
        np.testing.assert_allclose(points.get_ydata(), RUNS[row, :, 1:].mean(axis=0))
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, np.stack([RUNS[row].min(axis=0), RUNS[row].max(axis=0)], axis=1)[1:])
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal([line.get_ydata() for line in dashed], EXACT)
    dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert dotted == [0.5]  # the other mark lies outside
    assert texts(figure) == ["p", "q", "mean and range over 4 seeds", "exact", "turns"]


def test_the_file_is_a_whole_picture_and_rows_must_match(tmp_path):
    figures.along(tmp_path / "along.png", {"j": RUNS}, {"j": EXACT}, **LOOK)
    with Image.open(tmp_path / "along.png") as image:
        image.load()
        assert image.format == "PNG" and image.width > 500
    with pytest.raises(ValueError, match="3 row titles for 2 rows of j"):
        figures.along(tmp_path / "no.png", {"j": RUNS}, {"j": EXACT}, **LOOK | {"rows": ["p", "q", "s"]})
    assert [file.name for file in tmp_path.iterdir()] == ["along.png"]
