"""Courses over generations, or over another axis: metrics and class shares, measured and exact."""

import numpy as np
import pytest
from looks import covered, lines, path_of, texts
from matplotlib.colors import to_rgb

from curated_retraining import figures

ROWS = ["pure loop, λ = ∞", "real + curated, λ = 1"]
RUNS = np.random.default_rng(1).random((2, 3, 5))  # [rows, seeds, generations]
EXACT = np.random.default_rng(2).random((2, 5))
SHARE = np.random.default_rng(3).dirichlet(np.ones(9), size=(2, 3, 5))  # [rows, seeds, generations, classes]


def test_files_are_whole_pictures_made_without_pyplot_or_lasting_settings(alone):
    def write(folder):
        figures.curves(folder / "curves.png", {"kl": RUNS}, {}, rows=ROWS)
        figures.shares(folder / "shares.png", SHARE, None, rows=ROWS, names=list("abcdefghi"))

    alone(write, "curves.png", "shares.png")


def test_curves_hold_the_numbers(drawn):
    figure = drawn(
        figures.curves, {"kl": RUNS, "top_mass": 2 * RUNS}, {"kl": EXACT}, rows=ROWS, labels={"kl": "KL (nats)"}
    )
    kl, top = figure.axes
    for row in range(2):
        mean, theory = lines(kl, "-")[row], lines(kl, "--")[row]
        np.testing.assert_array_equal(mean.get_xydata().T, [np.arange(5), RUNS[row].mean(axis=0)])
        np.testing.assert_array_equal(theory.get_xydata().T, [np.arange(5), EXACT[row]])
        assert to_rgb(mean.get_color()) == to_rgb(theory.get_color())
        band = path_of(kl, row)
        for generation in range(5):
            at = band[band[:, 0] == generation, 1]
            assert (at.min(), at.max()) == (RUNS[row, :, generation].min(), RUNS[row, :, generation].max())
        np.testing.assert_array_equal(lines(top, "-")[row].get_ydata(), 2 * RUNS[row].mean(axis=0))
    assert not lines(top, "--")  # no theory for it
    assert [ax.get_ylabel() for ax in figure.axes] == ["KL (nats)", "top mass"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"generation (retrainings)"}
    assert texts(figure) == [*ROWS, "mean and range over 3 seeds", "exact"]


def test_bounds_are_dotted_in_the_colour_of_their_row_and_left_out_where_not_finite(drawn):
    floor = np.array([[-np.inf], [0.25]])
    ceiling = np.array([[np.nan, np.inf, 2.0, 3.0, 4.0], [np.nan] * 5])
    bounds = {"kl": [("floor", floor), ("ceiling", ceiling)], "absent": [("never", floor)]}
    bounds["kl"].append(("nowhere finite", np.full((2, 1), np.inf)))
    figure = drawn(figures.curves, {"kl": RUNS}, {"absent": EXACT}, rows=ROWS, bounds=bounds)
    (ax,) = figure.axes
    drawn_bounds = {line.get_label(): line for line in ax.lines if line.get_linestyle() != "-"}
    assert list(drawn_bounds) == ["ceiling", "floor"]  # once each: row 0 comes first
    np.testing.assert_array_equal(drawn_bounds["ceiling"].get_xydata(), [[2, 2], [3, 3], [4, 4]])
    np.testing.assert_array_equal(drawn_bounds["floor"].get_xydata(), [[t, 0.25] for t in range(5)])
    colours = [to_rgb(line.get_color()) for line in lines(ax, "-")]
    assert [to_rgb(drawn_bounds[name].get_color()) for name in ("ceiling", "floor")] == colours
    assert texts(figure) == [*ROWS, "mean and range over 3 seeds", "floor", "ceiling"]


def test_curves_go_over_another_axis_where_it_is_given(drawn):
    x, bounds = np.array([0.0, 0.1, 0.2, 0.5, 1.0]), {"end": [("limit", np.ones((2, 5)))]}
    figure = drawn(figures.curves, {"end": RUNS}, {"end": EXACT}, rows=ROWS, bounds=bounds, x=x, axis="share")
    (ax,) = figure.axes
    assert ax.get_xlabel() == "share" and len(ax.lines) == 6
    for line in ax.lines:
        np.testing.assert_array_equal(line.get_xdata(), x)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), RUNS[0].mean(axis=0))


@pytest.mark.parametrize(("num", "grid"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (9, (3, 3))])
def test_at_most_four_panels_a_line(drawn, num, grid):
    figure = drawn(figures.curves, {f"metric {index}": RUNS for index in range(num)}, {}, rows=ROWS)
    assert len(figure.axes) == num
    assert figure.axes[0].get_gridspec().get_geometry() == grid


def test_shares_hold_the_numbers_and_nine_classes_differ(drawn):
    exact = SHARE.mean(axis=1) / 2
    figure = drawn(figures.shares, SHARE, exact, rows=ROWS, names=list("abcdefghi"), title="Modes")
    for row, ax in enumerate(figure.axes):
        assert ax.get_title() == ROWS[row]
        for label in range(9):
            np.testing.assert_array_equal(lines(ax, "-")[label].get_ydata(), SHARE[row, ..., label].mean(axis=0))
            np.testing.assert_array_equal(lines(ax, "--")[label].get_ydata(), exact[row, :, label])
    looks = {(to_rgb(line.get_color()), line.get_marker(), line.get_markerfacecolor()) for line in lines(ax, "-")}
    assert len(looks) == 9
    assert texts(figure) == [*"abcdefghi", "mean and range over 3 seeds", "exact"]
    assert figure.get_suptitle() == "Modes"


def test_one_seed_is_called_so_and_unknown_theory_is_not_mentioned(drawn):
    figure = drawn(figures.shares, SHARE[:, :1], None, rows=ROWS, names=list("abcdefghi"))
    assert texts(figure)[9:] == ["one seed"]
    assert not lines(figure.axes[0], "--")


@pytest.mark.filterwarnings("error")  # a layout that finds no room warns
def test_a_long_legend_lengthens_the_figure_and_leaves_panels_their_height(drawn):
    heights = []
    for classes in (1, 9):
        figure = drawn(figures.shares, SHARE[:1, ..., :classes], None, rows=ROWS[:1], names=list("abcdefghi"[:classes]))
        figure.draw_without_rendering()
        heights.append(figure.axes[0].bbox.height / figure.dpi)
    assert 0.9 < heights[1] / heights[0] < 1.1  # one line of the legend is more than a tenth of a panel


def test_the_legend_covers_no_panel_or_label(drawn):
    assert not covered(drawn(figures.curves, {"kl": RUNS}, {"kl": EXACT}, rows=ROWS, title="One metric"))
    assert not covered(drawn(figures.shares, SHARE, None, rows=ROWS, names=list("abcdefghi")))


def test_titles_and_names_must_be_as_many_as_what_they_name():
    with pytest.raises(ValueError, match="2 row titles for 1 rows of kl"):
        figures.curves("nowhere.png", {"kl": RUNS[:1]}, {}, rows=ROWS)
    with pytest.raises(ValueError, match="2 names for 9 classes"):
        figures.shares("nowhere.png", SHARE, None, rows=ROWS, names=["a", "b"])
