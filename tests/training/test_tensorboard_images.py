import numpy as np

from mrsr_tf.training.tensorboard_images import side_by_side, stack_planes


def test_patches_are_stacked_by_their_middle_plane_with_gaps():
    patches = np.arange(2 * 3 * 5 * 4, dtype=float).reshape(2, 3, 5, 4)
    picture = stack_planes(patches)
    assert picture.shape == (7, 4)
    np.testing.assert_array_equal(picture[:3], patches[0, :, 2])
    np.testing.assert_array_equal(picture[4:], patches[1, :, 2])
    assert np.isnan(picture[3]).all()


def test_each_image_has_its_colour_and_invalid_pixels_are_blank():
    values = {"half": 40.0, "none": np.nan, "most": 80.0}
    images = {name: np.full((4, 4), value) for name, value in values.items()}
    picture = side_by_side(images, 80.0, colours="gray_r", unit="ms")
    assert picture.dtype == np.uint8
    height, width, _ = picture.shape
    shown = [picture[height * 2 // 3, round(width * at)].tolist() for at in (0.13, 0.42, 0.71)]
    assert 120 < shown[0][0] < 135
    assert shown[1:] == [[255] * 3, [0] * 3]
