"""Pictures of single generations: a file each, which stand still as they are turned over."""

import numpy as np
import pytest
from matplotlib.image import imread

from curated_retraining import figures

EXTENT = (-3.0, 4.0, -2.0, 2.5)
X, Y = np.meshgrid(np.linspace(*EXTENT[:2], 36), np.linspace(*EXTENT[2:], 23))
REWARD = -np.maximum(0, np.hypot(X - 2, Y) - 1)


def test_density_frames_stand_still_and_show_their_generation(tmp_path):
    places = np.array([-2.0, 0.0, 3.0])
    points = np.zeros((1, 3, 50, 2)) + np.stack([places, 0 * places], axis=-1)[None, :, None]
    exact = np.exp(-((X - places[None, :, None, None]) ** 2 + Y**2))
    figures.density_frames(tmp_path, points, rows=["lam=1"], extent=EXTENT, reward=REWARD, exact=exact)
    pictures = [imread(path)[..., :3] for path in sorted((tmp_path / "lam=1").iterdir())]
    assert len({picture.shape for picture in pictures}) == 1 and "Dashed" in (tmp_path / "caption.txt").read_text()
    darkest = [
        np.unravel_index(p[20:-60, 60:-20].sum(axis=-1).argmin(), p[20:-60, 60:-20].shape[:2])[1] for p in pictures
    ]
    assert darkest[0] < darkest[1] - 20 < darkest[2] - 40
    outside = [picture[-25:] for picture in pictures]  # the axis below
    assert all((one == outside[0]).all() for one in outside)


def test_sample_frames_are_the_images_a_pixel_a_pixel_and_24_at_most(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 30, 4, 8, 8, 3)).astype(np.uint8)
    figures.sample_frames(tmp_path, images, rows=["a", "b"])
    names = sorted(path.name for path in (tmp_path / "b").iterdir())
    assert len(names) == 24 and (names[0], names[-1]) == ("t=0000.png", "t=0029.png")
    shown = np.round(255 * imread(tmp_path / "b" / "t=0029.png")[..., :3]).astype(np.uint8)
    assert shown.shape == (17, 17, 3) and (shown[:8, 9:] == images[1, 29, 1]).all()
    with pytest.raises(ValueError, match="1 row titles for 2 rows"):
        figures.sample_frames(tmp_path, images, rows=["a"])
