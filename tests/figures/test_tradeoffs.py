import numpy as np
import pytest

from curated_retraining import figures

RNG = np.random.default_rng(0)
MEASURED = {"none": (RNG.random((1, 3)), RNG.random((1, 3))), "quota": (RNG.random((2, 3)), RNG.random((2, 3)))}
EXACT = {"quota": (np.array([0.1, np.nan]), np.array([0.2, 0.3]))}
LOOK = {"axes": ("lost", "gained"), "strengths": {"none": [""], "quota": ["0.2", "0.5"]}}


def test_points_are_means_over_seeds_with_their_range(drawn):
    figure = drawn(figures.tradeoff, MEASURED, EXACT, **LOOK)
    (ax,) = figure.axes
    for container, (x, y) in zip(ax.containers, MEASURED.values(), strict=True):
        line, _, (across, up) = container.lines
        np.testing.assert_allclose(line.get_xydata(), np.stack([x.mean(axis=1), y.mean(axis=1)], axis=-1))
        for bars, values, axis in ((across, x, 0), (up, y, 1)):
            ends = np.array([segment[:, axis] for segment in bars.get_segments()])
            np.testing.assert_allclose(ends, np.stack([values.min(axis=1), values.max(axis=1)], axis=-1))
    (dashed,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(dashed.get_xydata(), np.stack(EXACT["quota"], axis=-1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == LOOK["axes"]
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["none", "quota", "mean, bars: range over 3 seeds", "exact"]


def test_the_file_is_a_picture_and_strengths_must_fit(tmp_path):
    figures.tradeoff(tmp_path / "tradeoff.png", MEASURED, {}, **LOOK)
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="quota has 1 strengths"):
        figures.tradeoff(tmp_path / "other.png", MEASURED, {}, **LOOK | {"strengths": {"none": [""], "quota": ["0.2"]}})
