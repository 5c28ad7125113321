"""What a forecast shows: its table, its CSV and its figure, of courses that are made up."""

import csv
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from curated_retraining import figures
from curated_retraining.forecast import Forecast
from experiments.forecast import report


def synthetic(classes, reached=True):
    share = np.random.default_rng(1).dirichlet(np.linspace(1, 9, classes), size=(1, 3))
    limit = share[:, -1] if reached else np.full((1, classes), np.nan)
    row, never = np.arange(3.0)[None], np.full((1, classes), np.inf)
    return Forecast(row, row + 1, share, row + 2, row + 3, row + 4, never, limit.argmax(axis=1), limit, row[:, 0])


def test_the_ten_largest_classes_are_shown_and_all_are_written():
    course = synthetic(12)
    least = np.argsort(course.share.max(axis=(0, 1)))[:2]
    said = report.table([course], ["1"])
    assert "λ = 1 (2 smaller classes are in the files alone)" in said
    assert [f"p({c})" in said for c in range(12)] == [c not in least for c in range(12)]
    assert len(list(csv.DictReader(report.by_class([course], ["1"]).splitlines()))) == 12


def test_a_forecast_that_rests_on_few_samples_says_so():
    """e^−KL of the samples: KL is 4, 5, 6 nats here, so 300, 110.4 and 40.6 of 16,380 even ones."""
    said = report.table([synthetic(2)], ["inf"], num=16380)
    assert [line.split()[4] for line in said.splitlines()[3:6]] == ["300", "110", "41"]
    assert "from t = 2 on it rests on fewer than 100 samples" in said
    assert "rests on" not in report.table([synthetic(2)], ["inf"])


def test_a_limit_that_was_not_reached_has_no_winner():
    course = synthetic(3, reached=False)
    assert "no class is predicted to win" in report.table([course], ["1"])
    rows = list(csv.DictReader(report.by_class([course], ["1"]).splitlines()))
    assert [row["winner"] for row in rows] == ["0", "0", "0"]


def test_the_figure_shows_what_was_forecast(monkeypatch):
    caught = []
    monkeypatch.setattr(figures.forecasts, "write", lambda path, figure: caught.append(figure))
    course = synthetic(3)
    ends = [jax.tree.map(lambda values, f=f: values * f, course) for f in (0.8, 1.1)]
    report.draw(
        Path("nowhere.png"), [course, *ends], ["2"], ("reward_mean", "entropy"), band="90 % band", title="Forecast"
    )
    (figure,) = caught
    shares, reward, entropy = figure.axes
    assert shares.get_title() == "real + curated, λ = 2" and figure.get_suptitle() == "Forecast"
    for c, (line, band) in enumerate(zip(shares.lines, shares.collections, strict=True)):
        np.testing.assert_array_equal(line.get_ydata(), course.share[0, :, c])
        assert math.isclose(band.get_datalim(shares.transData).ymax, 1.1 * course.share[0, :, c].max())
    np.testing.assert_array_equal(reward.lines[0].get_ydata(), course.reward_mean[0])
    np.testing.assert_array_equal(entropy.lines[0].get_ydata(), course.entropy[0])
    assert [ax.get_ylabel() for ax in (reward, entropy)] == ["mean reward E[r]", "class entropy (nats)"]
    assert len({line.get_color() for line in [*shares.lines, reward.lines[0]]}) == 4
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == [
        "class 0", "class 1", "class 2", "real + curated, λ = 2", "90 % band",
    ]  # fmt: skip


def test_one_class_is_not_drawn_and_names_must_fit(monkeypatch):
    caught = []
    monkeypatch.setattr(figures.forecasts, "write", lambda path, figure: caught.append(figure))
    report.draw(Path("nowhere.png"), [synthetic(1)], ["inf"], ("reward_mean", "kl"), band="", title="")
    assert [ax.get_ylabel() for ax in caught[0].axes] == ["mean reward E[r]", "KL to generation 0 (nats)"]
    with pytest.raises(ValueError, match="1 names for 3 classes"):
        figures.forecast("nowhere.png", {"share": synthetic(3).share}, rows=["a"], names=["b"])
