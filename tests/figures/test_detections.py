"""The figures of detections: what is drawn where."""

import numpy as np
import pytest
from looks import texts
from PIL import Image

from curated_retraining import figures

TRUTH = np.array([2.0, 4.0])
VALUE = np.array([[[2.1, 1.9], [4.2, np.inf]]])  # one row, two truths, two seeds
ONE = figures.Estimates(TRUTH, VALUE, 0.8 * VALUE, 2 * VALUE, ["λ = 1"], True)
SHARE = figures.Estimates(TRUTH / 4, VALUE / 5, VALUE / 6, VALUE / 4, ["K = 2"], False)


def test_estimates_stand_beside_their_truths(drawn):
    figure = drawn(figures.estimates, {"K": ONE, "share": SHARE}, band="90 % interval")
    for ax, one in zip(figure.axes, (ONE, SHARE), strict=True):
        points, *truths = ax.lines
        assert points.get_ydata().tolist() == one.value.ravel().tolist()
        away = np.abs(points.get_xdata().reshape(2, 2) - one.truth[:, None])
        assert (away < one.truth[0] / 2).all() and len(set(points.get_xdata())) == 4
        assert [tuple(line.get_ydata()) for line in truths] == [(x, x) for x in one.truth]
        ends = np.array([path.vertices[:, 1] for path in ax.collections[0].get_paths()])
        np.testing.assert_allclose(ends[:3], np.stack([one.low, one.high], -1).reshape(4, 2)[:3])
        assert np.isfinite(ends).all() and ends[3, 1] > ax.get_ylim()[1]  # has no end: leaves the panel
    assert texts(figure) == [
        "a simulated loop, with its 90 % interval", "truth",
    ]  # fmt: skip


def test_the_fit_is_drawn_by_its_weights(drawn, tmp_path):
    fit = np.array([1.0, 0.0]), np.array([0.75, 0.25])
    (ax,) = drawn(figures.fitted, {"generation t": np.array([1.0, 0.0, 0.5, 2.0])}, fit).axes
    steps, dashed = ax.lines
    assert steps.get_xdata().tolist() == [0, 0.5, 1, 2] and steps.get_ydata().tolist() == [0.25, 0.5, 0.75, 1]
    assert dashed.get_xdata().tolist() == [0, 1] and dashed.get_ydata().tolist() == [0.25, 1]


def test_the_files_are_whole_pictures(tmp_path):
    figures.estimates(tmp_path / "estimates.png", {"K": ONE}, band="band", title="title")
    figures.fitted(tmp_path / "fitted.png", {"before": TRUTH}, (TRUTH, np.full(2, 0.5)))
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            image.load()
    with pytest.raises(ValueError, match="2 row titles for 1 rows of value"):
        figures.estimates(tmp_path / "bad.png", {"K": ONE._replace(rows=["a", "b"])}, band="band")
