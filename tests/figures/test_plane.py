"""Densities in the plane: the sheet of panels, the film, and the density that both draw."""

import numpy as np
import pytest
from looks import covered, path_of, texts
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from curated_retraining import figures
from curated_retraining.figures import density

ROWS = ["pure loop, λ = ∞", "real + curated, λ = 1"]
EXTENT = (-3.0, 4.0, -2.0, 2.5)
X, Y = np.meshgrid(np.linspace(*EXTENT[:2], 71), np.linspace(*EXTENT[2:], 46))  # steps of 0.1
STEP = 0.1
REWARD = -10 * np.maximum(0, np.hypot(X - 2, Y) - 1)
CENTRES = np.array([[[-2, 1], [-1, 1], [0, -1]], [[2, 2], [3, -1], [1, 0]]])  # [rows, generations, 2]
POINTS = CENTRES[:, :, None] + 0.2 * np.random.default_rng(0).normal(size=(2, 3, 300, 2))
LIMIT = np.stack([gaussian := np.exp(-(X**2 + Y**2) / 0.5) / (0.5 * np.pi), np.roll(gaussian, 10, axis=1)])
PLANE = {"rows": ROWS, "extent": EXTENT, "reward": REWARD}


@pytest.mark.parametrize("name", ["densities.png", "densities.gif"])
def test_the_file_is_a_whole_picture_made_without_pyplot_or_lasting_settings(alone, name):
    alone(lambda folder: write(folder / name), name)


def test_the_film_has_a_frame_a_generation_repeats_and_rests_on_the_last(tmp_path):
    figures.animation(tmp_path / "film.gif", POINTS, **PLANE)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.info["loop"] == 0
        stays = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
    assert stays == [500, 500, 2000]


def test_frames_show_their_generation(monkeypatch):
    caught = []
    monkeypatch.setattr(figures.plane, "publish", lambda path, write: caught.extend(write.args))
    exact = np.stack([np.roll(LIMIT, shift, axis=2) for shift in (0, 5, 10)], axis=1)
    top_mass = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    figures.animation("film.gif", POINTS, **PLANE, exact=exact, top_mass=top_mass)
    figure, draw, _ = caught
    for generation in (2, 1):
        draw(generation)
        assert figure.get_suptitle() == f"generation t = {generation}"
        for row, ax in enumerate(figure.axes):
            assert ax.get_title() == f"{ROWS[row]}\ntop reward set: {top_mass[row, generation]:.0%} of samples"
            assert np.hypot(*(peak(ax.images[0]) - CENTRES[row, generation])) < 0.2  # the sd of the points
            visible = [lines.get_visible() for lines in ax.collections[2:]]
            assert visible == [shown == generation for shown in range(3)]


def test_a_film_of_one_row_keeps_its_legend_inside(monkeypatch):
    caught = []
    monkeypatch.setattr(figures.plane, "publish", lambda path, write: caught.extend(write.args))
    one = {**PLANE, "rows": ROWS[:1]}
    figures.animation("film.gif", POINTS[:1], **one, exact=np.broadcast_to(LIMIT[:1, None], (1, 3, 46, 71)))
    figure, draw, _ = caught
    draw(0)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1 and legend.y0 >= 0


@pytest.mark.parametrize("name", ["densities.png", "densities.gif"])
def test_a_failing_draw_leaves_what_was_there(tmp_path, monkeypatch, name):
    def fail(self, target=None, *args, **kwargs):
        (target or self.outfile).write_bytes(b"half a picture")
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(*{"densities.png": (Figure, "savefig"), "densities.gif": (PillowWriter, "finish")}[name], fail)
    (tmp_path / name).write_bytes(b"the picture of yesterday")
    with pytest.raises(RuntimeError, match="the disk is full"):
        write(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"the picture of yesterday"


def test_density_is_where_the_sample_is_and_integrates_to_its_share_inside():
    shape = X.shape
    inside = density.smoothed(np.array([[1.0, -0.5], [100.0, 0.0]]), EXTENT, shape)
    np.testing.assert_allclose(inside.sum() * STEP**2, 0.5, rtol=1e-12)  # floats only: the kernel ends well inside
    row, column = np.unravel_index(inside.argmax(), shape)
    np.testing.assert_allclose([X[row, column], Y[row, column]], [1.0, -0.5], atol=1e-9)
    variance = ((X - 1) ** 2 * inside).sum() / inside.sum()
    np.testing.assert_allclose(variance, (7 / 60) ** 2, rtol=0.01)  # a kernel cut at 4 sd lacks 0.1 % of its variance


def test_density_near_the_border_counts_what_lies_just_outside():
    even = np.stack(np.meshgrid(np.arange(-6, 7, STEP), np.arange(-6, 7, STEP)), axis=-1).reshape(-1, 2)
    found = density.smoothed(even, EXTENT, X.shape)
    np.testing.assert_allclose(found, 1 / (len(even) * STEP**2), rtol=1e-9)  # a point a cell: even up to the edges


def test_each_panel_shows_its_row_and_generation(drawn):
    figure = drawn(figures.densities, POINTS, **PLANE, limit=LIMIT, p_0=LIMIT[0])
    axes = panels(figure, 2)
    for row in range(2):
        for generation in range(3):
            assert np.hypot(*(peak(axes[row, generation].images[0]) - CENTRES[row, generation])) < 0.2
        np.testing.assert_array_equal(axes[row, -1].images[0].get_array(), LIMIT[row])
        norms = {ax.images[0].norm for ax in axes[row]}
        assert [norm.gamma for norm in norms] == [0.5]  # one scale a row, and it is the power scale
        most = max(ax.images[0].get_array().max() for ax in axes[row, :-1])
        assert norms.pop().vmax == most
    assert [ax.get_title() for ax in axes[0]] == ["t = 0\n(real-data fit)", "t = 1", "t = 2", "predicted\nlimit"]
    assert {ax.get_aspect() for ax in axes.flat} == {1.0}


def test_the_plane_is_labelled_at_the_left_and_the_bottom_only(drawn):
    axes = panels(drawn(figures.densities, POINTS, **PLANE, limit=LIMIT), 2)
    for row, line in enumerate(axes):
        for column, ax in enumerate(line):
            assert (ax.get_xlabel(), len(ax.get_xticks()) > 1) == (("$x_1$", True) if row == 1 else ("", False))
            assert (ax.get_ylabel(), len(ax.get_yticks()) > 1) == (("$x_2$", True) if column == 0 else ("", False))
    for row, title in enumerate(ROWS):
        assert "".join(axes[row, 0].texts[0].get_text().split()) == title.replace(" ", "")
        assert axes[row, -1].child_axes[0].get_ylabel() == "density\n(power scale)"


def test_predicted_regions_lie_over_the_first_and_last_generation(drawn):
    axes = panels(drawn(figures.densities, POINTS, **PLANE, limit=LIMIT, p_0=LIMIT[0]), 2)
    centre_and_radius = [(path_of(ax).mean(axis=0), np.ptp(path_of(ax)[:, 0]) / 2) for ax in (axes[0, 0], axes[1, 2])]
    for (centre, radius), expected in zip(centre_and_radius, [0.0, 1.0], strict=True):
        np.testing.assert_allclose(centre, [expected, 0], atol=STEP / 2)
        np.testing.assert_allclose(
            radius, 0.5 * np.sqrt(-2 * np.log(0.1)), atol=STEP / 2
        )  # 90 % of a Gaussian of sd 0.5
    assert [len(ax.collections) for ax in axes[0]] == [3, 2, 3, 2]  # two of reward, one region
    without = panels(drawn(figures.densities, POINTS, **PLANE, limit=LIMIT), 2)
    assert [len(ax.collections) for ax in without[0]] == [2, 2, 3, 2]


def test_a_region_that_is_a_plateau_is_outlined():
    ax = Figure().subplots()
    density.draw_region(ax, (np.hypot(X - 2, Y) <= 1).astype(np.float32), EXTENT)
    away = np.hypot(*(path_of(ax) - [2, 0]).T)
    assert np.abs(away - 1).max() < STEP


def test_reward_contours_are_the_edge_of_the_top_set_and_round_levels(drawn):
    figure = drawn(figures.densities, POINTS, **PLANE, limit=LIMIT)
    ax = panels(figure, 2)[0, 1]
    edge = np.hypot(*(path_of(ax, 1) - [2, 0]).T)
    assert np.abs(edge - 1).max() < STEP
    assert {dash for lines in ax.collections for _, dash in lines.get_linestyle()} == {None}  # solid, though negative
    np.testing.assert_array_equal(ax.collections[0].levels, [-45, -30, -15])
    assert texts(figure) == [
        "top reward set, r = 0",
        "reward r = −15, −30, −45",
        "90% of the mass: limit at the last t",
    ]


@pytest.mark.filterwarnings("error")
def test_a_constant_reward_has_no_contours(drawn):
    figure = drawn(figures.densities, POINTS, **{**PLANE, "reward": 0 * REWARD}, limit=LIMIT)
    assert len(panels(figure, 2)[0, 1].collections) == 0
    assert texts(figure) == ["90% of the mass: limit at the last t"]


def test_the_legend_covers_no_panel_or_label(drawn):
    assert not covered(drawn(figures.densities, POINTS[:, :1], **PLANE, limit=LIMIT))


def test_titles_must_be_as_many_as_rows():
    with pytest.raises(ValueError, match="1 row titles for 2 rows of points"):
        figures.densities("nowhere.png", POINTS, **{**PLANE, "rows": ROWS[:1]}, limit=LIMIT)


def write(path):
    """The sheet or, as a GIF, the film."""
    if path.suffix == ".png":
        figures.densities(path, POINTS, **PLANE, limit=LIMIT)
    else:
        figures.animation(path, POINTS, **PLANE)


def panels(figure, rows):
    return np.array([ax for ax in figure.axes if ax.images]).reshape(rows, -1)


def peak(image):
    row, column = np.unravel_index(image.get_array().argmax(), X.shape)
    return np.array([X[row, column], Y[row, column]])
