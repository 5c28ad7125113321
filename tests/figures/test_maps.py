import numpy as np
import pytest
from looks import covered, texts
from matplotlib.colors import LogNorm, to_rgba
from PIL import Image

from curated_retraining import figures
from curated_retraining.figures import style

X, Y = np.geomspace(0.1, 10, 5), np.geomspace(2, 32, 3)
LINE = (np.geomspace(1e-3, 1e3, 200), 1 + 1 / np.geomspace(1e-3, 1e3, 200))
KL = np.random.default_rng(0).random((3, 5)) + 1
COLLAPSE = np.where(KL > 1.5, np.geomspace(1, 100, 15).reshape(3, 5), np.nan)
VALUES = {"kl": KL, "collapse": COLLAPSE}
LABELS = {"kl": "KL (nats)", "collapse": "generations to collapse"}
LOOK = {
    "x": X, "y": Y, "axes": ("λ", "K"), "labels": LABELS, "logarithmic": ["collapse"], "line": LINE,
    "line_label": "threshold", "missing": {"collapse": "never"},
}  # fmt: skip


def test_the_file_is_a_whole_picture(tmp_path):
    figures.heat_maps(tmp_path / "maps.png", VALUES, **LOOK)
    with Image.open(tmp_path / "maps.png") as image:
        image.load()
        assert image.format == "PNG" and image.width > 800
    assert [file.name for file in tmp_path.iterdir()] == ["maps.png"]


def test_cells_hold_their_numbers_around_their_settings(drawn):
    figure = drawn(figures.heat_maps, VALUES, **LOOK)
    for ax, (name, values) in zip(maps_of(figure), VALUES.items(), strict=True):
        mesh = ax.collections[0]
        np.testing.assert_array_equal(mesh.get_array().filled(np.nan), values)
        corners = np.asarray(mesh.get_coordinates())  # [4, 6, 2]
        np.testing.assert_allclose(np.sqrt(corners[0, 1:, 0] * corners[0, :-1, 0]), X)
        np.testing.assert_allclose(np.sqrt(corners[1:, 0, 1] * corners[:-1, 0, 1]), Y)
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == (LABELS[name], "λ", "K")
        assert isinstance(mesh.norm, LogNorm) == (name == "collapse")
        assert (ax.patch.get_hatch() is not None) == (name == "collapse")
    assert len(figure.axes) == 4  # a colour bar each
    assert texts(figure) == ["threshold", "never"]


def test_a_logarithmic_scale_is_for_wide_ranges(drawn):
    figure = drawn(figures.heat_maps, {"collapse": 1 + KL}, **LOOK)
    assert not isinstance(maps_of(figure)[0].collections[0].norm, LogNorm)


def test_the_line_lies_where_it_is_and_one_outside_is_left_out(drawn):
    figure = drawn(figures.heat_maps, VALUES, **LOOK)
    for ax in maps_of(figure):
        (line,) = ax.lines
        np.testing.assert_array_equal(line.get_xydata().T, LINE)
        assert line.get_linestyle() == "--"
        assert ax.get_xlim()[1] < 1e3 and ax.get_ylim()[1] < 1e3  # it does not widen the map
    outside = drawn(figures.heat_maps, VALUES, **LOOK | {"line": (LINE[0], LINE[1] * 0 + 100)})
    assert not maps_of(outside)[0].lines and texts(outside) == ["never"]


def test_circles_share_the_scale_and_are_hollow_where_there_is_no_number(drawn):
    at = (np.array([0.1, 1.0, 10.0]), np.array([2.0, 8.0, 32.0]))
    circles = {"kl": np.array([0.5, 1.5, 3.0]), "collapse": np.array([1.0, np.nan, 500.0])}
    labels = {"circles_label": "trained", "hollow_label": "not seen"}
    figure = drawn(figures.heat_maps, VALUES, **LOOK, circles=circles, at=at, **labels)
    for ax, (name, values) in zip(maps_of(figure), circles.items(), strict=True):
        mesh, dots = ax.collections[0], [line for line in ax.lines if line.get_linestyle() == "None"]
        shown = np.concatenate([VALUES[name].ravel(), values])
        assert mesh.get_clim() == (np.nanmin(shown), np.nanmax(shown))
        for dot, x, y, value in zip(dots, *at, values, strict=True):
            np.testing.assert_array_equal(dot.get_xydata(), [[x, y]])
            if np.isnan(value):
                assert dot.get_markerfacecolor() == "none"
            else:
                assert to_rgba(dot.get_markerfacecolor()) == mesh.to_rgba(value)
    assert texts(figure) == ["threshold", "trained", "not seen", "never"]


@pytest.mark.filterwarnings("error")  # a layout that finds no room, or a scale without ends, warns
def test_maps_of_one_value_or_none_are_drawn(drawn):
    figure = drawn(figures.heat_maps, {"kl": 0 * KL, "collapse": np.nan * KL}, **LOOK)
    figure.draw_without_rendering()
    constant, nothing = maps_of(figure)
    assert constant.collections and not nothing.collections and len(figure.axes) == 3
    single = drawn(figures.heat_maps, {"collapse": np.full((1, 1), 0.125)}, **LOOK | {"x": X[:1], "y": Y[:1]})
    assert maps_of(single)[0].get_xlim()[0] < X[0] < maps_of(single)[0].get_xlim()[1]


def test_each_meaning_has_its_own_hatch_and_nothing_is_covered(drawn):
    values = {name: np.where(KL > 1.5, KL, np.nan) for name in ("a", "b", "c", "d", "e")}
    figure = drawn(
        figures.heat_maps, values, **LOOK | {"missing": {name: "not reached" for name in "abcd"} | {"e": "never"}}
    )
    hatches = [ax.patch.get_hatch() for ax in maps_of(figure)]
    assert len(set(hatches[:4])) == 1 and hatches[4] != hatches[0]
    assert texts(figure) == ["threshold", "not reached", "never"]
    assert not covered(figure)
    assert figure.get_figwidth() <= style.WIDTH + 0.01


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"kl has the shape \(5, 3\) for 3 by 5 cells"):
        figures.heat_maps("nowhere.png", {"kl": KL.T}, **LOOK)


def maps_of(figure):
    return [ax for ax in figure.axes if ax.get_xlabel() == "λ"]
