import numpy as np
import pytest
from looks import covered, texts
from matplotlib.colors import to_rgb
from PIL import Image

from curated_retraining import figures
from curated_retraining.figures.style import COLOURS

ROWS = ["pure loop, λ = ∞", "real + curated, λ = 1"]
RNG = np.random.default_rng(0)
MEASURED = {name: RNG.uniform(-0.7, 0.7, (2, 3, 5, 2)) for name in ("taste", "population")}
EXACT = {"population": RNG.uniform(-0.7, 0.7, (2, 5, 2))}
SHARE = RNG.dirichlet(np.ones(3), size=(2, 3, 5))  # [rows, seeds, generations, 3]
NAMES = ["rock", "paper", "scissors"]


def test_the_disk_holds_the_courses_of_every_seed_and_the_exact_one(drawn):
    figure = drawn(figures.disk, MEASURED, EXACT, rows=ROWS, axes=("east", "north"))
    for row, ax in enumerate(figure.axes):
        solid, dashed = courses(ax)
        expected = [run for runs in MEASURED.values() for run in runs[row]]
        for line, run in zip(solid, expected, strict=True):
            np.testing.assert_array_equal(line.get_xydata(), run)
        (theory,) = dashed
        np.testing.assert_array_equal(theory.get_xydata(), EXACT["population"][row])
        assert {to_rgb(line.get_color()) for line in solid} == {to_rgb(shade) for shade in COLOURS[:2]}
        assert ax.get_aspect() == 1 and ax.get_title() == ROWS[row] and ax.get_xlabel() == "east"
    assert texts(figure) == ["taste", "population", "first generation", "last generation of a seed", "exact"]


def test_a_triangle_puts_a_kind_alone_in_its_corner_and_an_even_mixture_in_the_middle(drawn):
    corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    exact = np.stack([np.concatenate([np.eye(3), np.full((2, 3), 1 / 3)])] * 2)
    figure = drawn(figures.ternary, SHARE, exact, rows=ROWS, names=NAMES)
    for row, ax in enumerate(figure.axes):
        solid, (theory,) = courses(ax)
        np.testing.assert_allclose(theory.get_xydata()[:3], corners)
        np.testing.assert_allclose(theory.get_xydata()[3], corners.mean(axis=0))
        for line, run in zip(solid, SHARE[row], strict=True):
            np.testing.assert_allclose(line.get_xydata(), run @ corners)
        assert [(text.get_text(), tuple(text.xy)) for text in ax.texts] == [
            (f"all {name}", tuple(corner)) for name, corner in zip(NAMES, corners, strict=True)
        ]
    assert "exact" not in texts(drawn(figures.ternary, SHARE, None, rows=ROWS, names=NAMES))


def test_grid_lines_are_where_one_share_is_even(drawn):
    (ax,) = drawn(figures.ternary, SHARE[:1], None, rows=ROWS[:1], names=NAMES).axes
    corners = np.vstack([figures.paths.CORNERS.T, np.ones(3)])
    grid = [line.get_xydata() for line in ax.lines if line.get_zorder() == 0]
    levels = []
    for ends in grid:
        share = np.linalg.solve(corners, np.vstack([ends.T, np.ones(2)]))  # barycentric, [3, 2]
        assert share.min() > -1e-9
        levels.append(share[np.ptp(share, axis=1) < 1e-9, 0])
    np.testing.assert_allclose(np.sort(np.ravel(levels)), np.repeat([0.2, 0.4, 0.6, 0.8], 3))


@pytest.mark.parametrize(
    ("share", "names", "message"),
    [(SHARE[..., :2], NAMES, "2 kinds"), (SHARE, NAMES[:2], "2 names"), (2 * SHARE, NAMES, "sum to one")],
)
def test_what_is_no_three_shares_is_refused(share, names, message):
    with pytest.raises(ValueError, match=message):
        figures.ternary("nowhere.png", share, None, rows=ROWS, names=names)


def test_files_are_whole_pictures_whose_legend_covers_nothing(tmp_path, drawn):
    for function, arguments in (
        (figures.disk, {"measured": MEASURED, "exact": EXACT, "rows": ROWS, "axes": ("x", "y")}),
        (figures.ternary, {"share": SHARE, "exact": SHARE[:, 0], "rows": ROWS, "names": NAMES}),
    ):
        figure = drawn(function, **arguments)
        assert not covered(figure)
        figure.savefig(tmp_path / "figure.png")
        with Image.open(tmp_path / "figure.png") as image:
            image.load()


def courses(ax):
    """The lines of seeds, and the dashed ones; neither marks nor what is behind."""
    several = [line for line in ax.lines if line.get_zorder() >= 2 and len(line.get_xdata()) > 1]
    return ([line for line in several if line.get_linestyle() == style] for style in ("-", "--"))
