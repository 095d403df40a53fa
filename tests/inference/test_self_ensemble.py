import numpy as np
import pytest
from random_scans import make_scan

from mrsr_tf.inference.self_ensemble import MEMBERS, RunningStats, mirrored_predictions
from mrsr_tf.mri.slices import first_slice, interpolate


@pytest.mark.parametrize("profile", ["fir", "box"])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("slices", [1, 2, 7, 12])
def test_the_predictions_of_a_symmetric_method_agree(profile, factor, slices):
    """All eight are aligned, to the last slice, whatever was reversed."""
    first = first_slice(profile, factor)
    thick = make_scan((5, 4, slices)).array
    expected = interpolate(thick, factor, first=first)
    predictions = list(
        mirrored_predictions(
            lambda array: interpolate(array, factor, first=first), thick, factor, first
        )
    )
    assert len(predictions) == MEMBERS == 8
    for prediction in predictions:
        np.testing.assert_allclose(prediction, expected, atol=0.02)


def test_each_mirrored_scan_is_upsampled_once():
    inputs = []

    def upsample(thick):
        inputs.append(thick.copy())
        return interpolate(thick, 2)

    list(mirrored_predictions(upsample, make_scan((5, 4, 3)).array, 2))
    assert len({array.tobytes() for array in inputs}) == 8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_mean_does_not_shift_though_the_method_does(axis):
    """A network that moves everything by one voxel, however the scan is mirrored."""
    bump = np.exp(
        -0.5 * sum((np.indices((25, 25, 13))[a] - c) ** 2 for a, c in enumerate((12, 12, 6)))
    )
    thick = (1000 * bump)[..., None]

    def centre(image):
        places = np.moveaxis(np.indices(image.shape[:3]), 0, -1)
        return (places * image).sum((0, 1, 2)) / image.sum()

    def shifted(thick):
        return np.roll(interpolate(thick, 2), 1, axis)

    statistics = RunningStats()
    for prediction in mirrored_predictions(shifted, thick, 2):
        statistics.add(prediction)
    expected = centre(interpolate(thick, 2))
    np.testing.assert_allclose(centre(statistics.mean), expected, atol=1e-3)
    assert abs(centre(shifted(thick)) - expected)[axis] > 0.9
    assert statistics.deviation.max() > 50


def test_mean_and_deviation_are_those_of_numpy():
    images = np.random.default_rng(0).normal(1000, 30, (8, 4, 3, 2)).astype(np.float32)
    images[5, 1, 1, 1] = np.nan
    statistics = RunningStats()
    for image in images:
        statistics.add(image)
    np.testing.assert_allclose(statistics.mean, images.mean(0), rtol=1e-5)
    np.testing.assert_allclose(statistics.deviation, images.std(0, ddof=1), rtol=1e-3)
    assert np.isnan(statistics.deviation).sum() == 1
