import numpy as np
import pytest

from curated_retraining.datasets.images import Images, checked_labels, scaled, split

LABEL = np.array([0, 1, 1, 0, 1, 0, 1, 1], np.int32)
IMAGES = Images(np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1), LABEL, ("a", "b"))


def test_every_second_of_each_class_is_a_test_image_in_the_order_of_the_file():
    parts = split(IMAGES, every=2)
    assert parts.test.x.ravel().tolist() == [2, 3, 6]  # the second of a; the second and fourth of b
    assert parts.train.x.ravel().tolist() == [0, 1, 4, 5, 7]
    for part in parts:
        np.testing.assert_array_equal(part.label, LABEL[part.x.ravel().astype(int)])
        assert part.names == ("a", "b")


@pytest.mark.parametrize(("every", "said"), [(1, "every=1"), (4, "class 0 has 3 images")])
def test_a_split_that_leaves_a_side_without_a_class_is_refused(every, said):
    with pytest.raises(ValueError, match=said):
        split(IMAGES, every)


def test_pixels_are_scaled_to_the_unit_interval_on_both_sides_of_zero():
    np.testing.assert_array_equal(scaled(np.array([0, 4, 16], np.uint8), 16), np.float32([-1, -0.5, 1]))
    assert scaled(np.array([0, 255], np.uint8), 255).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("label", "said"),
    [([0, 2], "from 0 to 2: take 0 to 1"), ([-1, 0], "from -1 to 0"), ([1, 1], "no image has the label 0")],
)
def test_labels_are_those_of_the_names(label, said):
    with pytest.raises(ValueError, match=f"file: .*{said}"):
        checked_labels("file", np.array(label), ("a", "b"))
