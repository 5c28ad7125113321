import matplotlib
import numpy as np
import pytest
from looks import lines, texts
from matplotlib.collections import PolyCollection
from matplotlib.colors import same_color, to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from curated_retraining import figures
from curated_retraining.figures import style
from curated_retraining.figures.images import grid
from curated_retraining.figures.stacked import AREAS

ROWS = ["pure loop, λ = ∞", "real + curated, λ = 1/2"]
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SHARE = np.random.default_rng(0).dirichlet(np.full(10, 40.0), size=(2, 3, 11))  # [rows, seeds, generations, classes]
REWARD = np.random.default_rng(1).random((2, 3, 11))
STACK = {"rows": ROWS, "names": NAMES}
RNG = np.random.default_rng(2)
CANDIDATES = RNG.integers(0, 256, (5, 4, 8, 8, 1), dtype=np.uint8)
SCORES = RNG.normal(size=(5, 4))
KEPT = np.array([3, 0, 2, 2, 1])
# Machado et al. 2009, severity 1, on linear RGB
SIGHTS = [
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
]


@pytest.mark.filterwarnings("error")  # a layout that finds no room warns
def test_files_are_whole_pictures_and_settings_do_not_last(tmp_path):
    before = dict(matplotlib.rcParams)
    figures.stacked_shares(tmp_path / "stack.png", SHARE[:1, :1, :2, :], REWARD[:1, :1, :2], rows=["one"], names=NAMES)
    figures.curation(tmp_path / "curation.png", CANDIDATES, SCORES, KEPT, title="Five groups")
    figures.sample_grids(tmp_path / "grids.png", CANDIDATES[None, :, :1], rows=["one"], title="Grids")
    assert dict(matplotlib.rcParams) == before
    for name in ("stack.png", "curation.png", "grids.png"):
        with Image.open(tmp_path / name) as image:
            image.load()
            assert image.width < (style.WIDTH + 0.3) * 220


def test_areas_are_told_apart_by_every_sight():
    linear = np.array([to_rgb(colour) for colour in AREAS])
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    for sight in SIGHTS:
        lab = _lab(np.clip(linear @ np.transpose(sight), 0, 1))
        away = np.linalg.norm(lab[:, None] - lab[None, :], axis=-1)
        assert away[~np.eye(10, dtype=bool)].min() > 17
        assert np.roll(away, -1, axis=1).diagonal().min() > 50  # neighbours, the last and the first included


def test_areas_fill_the_panel_with_the_liked_class_lowest(drawn):
    figure = drawn(figures.stacked_shares, SHARE, REWARD, **STACK, liked=7)
    order = [7, 0, 1, 2, 3, 4, 5, 6, 8, 9]
    for row, ax in enumerate(figure.axes[:2]):
        assert (ax.get_title(), ax.get_ylim(), ax.get_xlim()) == (ROWS[row], (0, 1), (0, 10))
        top = np.zeros(11)
        for area, label in zip(areas(ax)[:10], order, strict=True):
            low, high = ends(area)
            np.testing.assert_allclose(low, top, atol=1e-12)
            np.testing.assert_allclose(high - low, SHARE[row, ..., label].mean(axis=0), atol=1e-12)
            top = high
        np.testing.assert_allclose(top, 1, atol=1e-12)
        assert all(same_color(area.get_facecolor(), colour) for area, colour in zip(areas(ax)[:10], AREAS, strict=True))
    others = [name for name in NAMES if name != "horse"]
    assert texts(figure) == ["horse (liked)", *others, "mean over 3 seeds", "range over seeds"]


def test_boundaries_show_their_range_over_seeds_and_the_forecast_dashed(drawn):
    predicted = np.random.default_rng(3).dirichlet(np.ones(10), size=(2, 11))
    figure = drawn(
        figures.stacked_shares, SHARE, REWARD, **STACK, predicted_share=predicted, theory="forecast", liked=1
    )
    order = [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]
    for row, ax in enumerate(figure.axes[:2]):
        top = np.cumsum(SHARE[row][..., order], axis=-1)
        for index, band in enumerate(areas(ax)[10:]):
            np.testing.assert_allclose(ends(band), [top[..., index].min(axis=0), top[..., index].max(axis=0)])
        assert len(areas(ax)) == 19
        dashed = np.array([line.get_ydata() for line in lines(ax, "--")])
        np.testing.assert_allclose(dashed.T, np.cumsum(predicted[row][:, order], axis=1)[:, :-1])
    assert texts(figure)[-1] == "forecast" and not lines(figure.axes[2], "--")


def test_rewards_lie_below_on_one_scale_with_their_range_and_forecast(drawn):
    figure = drawn(figures.stacked_shares, SHARE, REWARD, **STACK, predicted_reward=REWARD[:, 0], reward_label="E[r]")
    for row, ax in enumerate(figure.axes[2:]):
        np.testing.assert_allclose(lines(ax, "-")[0].get_ydata(), REWARD[row].mean(axis=0))
        np.testing.assert_array_equal(lines(ax, "--")[0].get_ydata(), REWARD[row, 0])
        np.testing.assert_allclose(ends(areas(ax)[0]), [REWARD[row].min(axis=0), REWARD[row].max(axis=0)])
        assert ax.get_xlabel() == "generation (retrainings)"
    assert figure.axes[2].get_ylim() == figure.axes[3].get_ylim()
    assert [ax.get_ylabel() for ax in figure.axes] == ["share of samples", "", "E[r]", ""]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("prefix", ["", "a long class name of "])
def test_names_lie_inside_their_areas_and_only_where_there_is_room(drawn, prefix):
    share = np.zeros((1, 1, 21, 5))
    share[0, 0, 10, 1] = 0.3  # a spike, narrower than the name
    share[..., 2] = np.linspace(0.001, 0.489, 21)
    share[..., 3] = 0.49 - share[..., 2]
    share[..., 4] = 0.02  # thinner than a letter
    share[..., 0] = 1 - share.sum(axis=-1)
    names = [prefix + name for name in NAMES[:5]]
    figure = drawn(figures.stacked_shares, share, REWARD[:1, :1, :1].repeat(21, 2), rows=["one"], names=names, liked=0)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == [names[0], names[2], names[3]]
    assert [text.get_weight() for text in ax.texts] == ["bold", "normal", "normal"]
    tops = np.cumsum(share[0, 0], axis=1)
    for text, index in zip(ax.texts, (0, 2, 3), strict=True):
        (x0, y0), (x1, y1) = ax.transData.inverted().transform(text.get_window_extent())
        at = np.linspace(x0, x1, 50)
        assert x0 > 0 and x1 < 20 and y1 < np.interp(at, np.arange(21), tops[:, index]).min()
        assert index == 0 or y0 > np.interp(at, np.arange(21), tops[:, index - 1]).max()
    assert texts(figure)[-1] == "one seed"


def test_the_stack_names_what_is_wrong():
    def draw(share=SHARE, reward=REWARD, **changes):
        figures.stacked_shares("nowhere.png", share, reward, **STACK | changes)

    with pytest.raises(ValueError, match="1 row titles for 2 rows of share"):
        draw(rows=ROWS[:1])
    with pytest.raises(ValueError, match="2 names for 10 classes"):
        draw(names=NAMES[:2])
    with pytest.raises(ValueError, match=r"reward has the shape \(2, 3, 10\): give \(2, 3, 11\)"):
        draw(reward=REWARD[..., 1:])
    with pytest.raises(ValueError, match=r"predicted_share has the shape \(2, 11, 9\): give \(2, 11, 10\)"):
        draw(predicted_share=SHARE[:, 0, :, 1:])
    with pytest.raises(ValueError, match=r"predicted_reward has the shape \(2, 10\): give \(2, 11\)"):
        draw(predicted_reward=REWARD[:, 0, 1:])
    with pytest.raises(ValueError, match=r"share has the shape \(2, 3, 1, 10\): .* at least two generations"):
        draw(share=SHARE[:, :, :1])
    with pytest.raises(ValueError, match="share sums over classes to"):
        draw(share=SHARE / 2)
    with pytest.raises(ValueError, match="predicted_share sums over classes to nan"):
        draw(predicted_share=SHARE[:, 0] * np.nan)
    with pytest.raises(ValueError, match="liked = 10 is none of 10 classes"):
        draw(liked=10)


@pytest.mark.parametrize("columns", [1, 2])
def test_candidates_stand_in_their_group_and_the_kept_are_framed(drawn, columns):
    figure = drawn(figures.curation, CANDIDATES, SCORES, KEPT, columns=columns, reward_label="r = γ q(x)")
    (ax,) = figure.axes
    places = []
    for index, image in enumerate(ax.images):
        np.testing.assert_array_equal(image.get_array(), CANDIDATES[index // 4, index % 4].repeat(3, axis=2))
        assert image.get_interpolation() == "nearest"
        places.append(image.get_extent())
    x0, x1, y1, y0 = np.array(places).T.reshape(4, 5, 4)
    assert (y0 == y0[:, :1]).all() and (x0[:, 1:] > x1[:, :-1]).all()  # a group a line, left to right
    lines = -(-5 // columns)
    assert len(np.unique(y0)) == lines and len(np.unique(x0)) == 4 * columns
    assert (y0[1:lines] > y1[: lines - 1]).all() and (x0[lines:] > x1[:lines].max() + 5 * (x0[0, 1] - x1[0, 0])).all()
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(frames) == 5
    for group, (frame, kept) in enumerate(zip(frames, KEPT, strict=True)):
        assert same_color(frame.get_edgecolor(), style.COLOURS[1]) and not frame.get_fill()
        (left, top), (right, bottom) = frame.get_xy(), frame.get_corners()[2]
        assert left < x0[group, kept] < x1[group, kept] < right
        assert top < y0[group, kept] < y1[group, kept] < bottom
    numbers = [text.get_text() for text in ax.texts]
    assert numbers == [f"{score:.2f}".replace("-", "−") for score in SCORES.ravel()]
    bold = [index for index, text in enumerate(ax.texts) if text.get_weight() == "bold"]
    assert bold == [4 * group + kept for group, kept in enumerate(KEPT)]
    assert texts(figure) == ["kept of K = 4", "r = γ q(x)"]


@pytest.mark.parametrize(("k", "columns"), [(2, 1), (4, 2), (24, 1)])
def test_numbers_touch_no_image_and_no_neighbour(drawn, k, columns):
    shape = (2, k, 28, 20, 3)
    figure = drawn(
        figures.curation, np.zeros(shape, np.uint8), np.full((2, k), -10.25), np.zeros(2, int), columns=columns
    )
    figure.draw_without_rendering()
    (ax,) = figure.axes
    boxes = [text.get_window_extent() for text in ax.texts]
    pictures = [image.get_window_extent() for image in ax.images]
    assert not [1 for box in boxes for picture in pictures if box.overlaps(picture)]
    assert not [1 for index, box in enumerate(boxes) for other in boxes[:index] if box.overlaps(other)]
    assert pictures[0].width / pictures[0].height == pytest.approx(20 / 28, rel=1e-6)
    assert pictures[0].width / figure.dpi > 0.35  # inches


def test_curation_names_what_is_wrong():
    def draw(candidates=CANDIDATES, reward=SCORES, kept=KEPT, **look):
        figures.curation("nowhere.png", candidates, reward, kept, **look)

    with pytest.raises(ValueError, match="candidates are float32: give uint8 from 0 to 255"):
        draw(CANDIDATES.astype(np.float32))
    with pytest.raises(ValueError, match=r"candidates have the shape \(5, 4, 8, 8\): give \[groups, k, h, w, c\]"):
        draw(CANDIDATES[..., 0])
    with pytest.raises(ValueError, match=r"candidates have the shape .* with c = 1 or 3"):
        draw(CANDIDATES.repeat(2, axis=-1))
    with pytest.raises(ValueError, match=r"reward has the shape \(5, 3\): give one of each candidate, \(5, 4\)"):
        draw(reward=SCORES[:, 1:])
    with pytest.raises(ValueError, match=r"kept = \[4, 1, 3, 3, 2\]: give an index from 0 to 3"):
        draw(kept=KEPT + 1)
    with pytest.raises(ValueError, match=r"kept = \[0, 2, 2, 1\]: give an index from 0 to 3 for each of 5 groups"):
        draw(kept=KEPT[1:])
    with pytest.raises(ValueError, match="columns = 6: give a number from 1 to the 5 groups"):
        draw(columns=6)


@pytest.mark.parametrize(
    ("num", "shown"), [(1, [0]), (4, [0, 1, 2, 3]), (11, [0, 2, 4, 6, 8, 10]), (21, [0, 4, 8, 12, 16, 20])]
)
def test_grids_show_the_first_the_last_and_even_steps_between(drawn, num, shown):
    level = np.arange(2 * num, dtype=np.uint8).reshape(2, num, 1, 1, 1, 1)
    figure = drawn(figures.sample_grids, np.broadcast_to(level, (2, num, 4, 8, 8, 1)), rows=ROWS)
    axes = np.array(figure.axes).reshape(2, -1)
    assert [ax.get_title() for ax in axes[0]] == [f"t = {generation}" for generation in shown]
    for row, line in enumerate(axes):
        assert [ax.images[0].get_array()[0, 0, 0] for ax in line] == list(level[row, shown].ravel())
        assert " ".join(line[0].get_ylabel().split()) == ROWS[row]


@pytest.mark.parametrize("shape", [(6, 8, 8, 1), (10, 28, 28, 1), (7, 32, 32, 3), (1, 200, 150, 3)])
def test_a_grid_holds_every_image_once_in_order_on_white(shape):
    images = np.random.default_rng(4).integers(0, 255, shape, dtype=np.uint8)  # none is white
    num, h, w, _ = shape
    times = -(-128 // w)
    columns = {6: 3, 10: 5, 7: 3, 1: 1}[num]
    picture = grid(images)
    gap = w * times // 16
    assert picture.shape == (-(-num // columns) * (h * times + gap) - gap, columns * (w * times + gap) - gap, 3)
    for index, image in enumerate(images):
        y, x = index // columns * (h * times + gap), index % columns * (w * times + gap)
        cell = picture[y : y + h * times, x : x + w * times]
        for offset in (0, times - 1):  # every pixel became times by times
            np.testing.assert_array_equal(cell[offset::times, offset::times], np.broadcast_to(image, (h, w, 3)))
    assert (picture != 255).all(axis=-1).sum() == num * h * w * times**2


def test_grids_name_what_is_wrong():
    images = np.zeros((2, 3, 4, 8, 8, 1), np.uint8)
    with pytest.raises(ValueError, match="1 row titles for 2 rows of images"):
        figures.sample_grids("nowhere.png", images, rows=ROWS[:1])
    with pytest.raises(ValueError, match="images are float64: give uint8"):
        figures.sample_grids("nowhere.png", images / 255, rows=ROWS)
    for wrong in (images[:, 0], images[..., 0], images[:, :, :0]):
        with pytest.raises(ValueError, match=r"images have the shape .*: give \[rows, generations, n, h, w, c\]"):
            figures.sample_grids("nowhere.png", wrong, rows=ROWS)


def areas(ax):
    return [area for area in ax.collections if isinstance(area, PolyCollection)]


def ends(area):
    """The lower and the upper end `[2, generations]` of a filled area."""
    corners = area.get_paths()[0].vertices
    columns = [corners[corners[:, 0] == generation, 1] for generation in np.unique(corners[:, 0])]
    return np.array([[at.min() for at in columns], [at.max() for at in columns]])


def _lab(linear):
    """CIELAB `[n, 3]` of linear RGB."""
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    xyz = xyz / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
