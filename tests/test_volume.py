"""What a `Volume` accepts, how it is shown, and the positions of its slices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume, intensity_scale

OBLIQUE = np.array(
    [[0.0, 0.1, 0.69, -12.0], [0.3, 0.2, 0.1, 40.0], [-0.2, 0.3, -0.05, 7.0], [0, 0, 0, 1.0]]
)


def volume(shape=(4, 5, 6, 2), affine=OBLIQUE, **changed):
    array = np.random.default_rng(0).random(shape)
    return Volume(**({"array": array, "affine": affine, "echo_times_ms": None} | changed))


def test_arrays_become_float32_and_affines_float64():
    converted = volume(array=np.ones((2, 2, 2, 1), np.int16), affine=np.eye(4, dtype=np.float32))
    assert converted.array.dtype == np.float32
    assert converted.affine.dtype == np.float64


def test_spacing_is_the_length_of_the_affines_columns():
    straight = volume(affine=np.diag([0.3, 0.4, 0.7, 1.0]))
    np.testing.assert_allclose(straight.spacing_mm, [0.3, 0.4, 0.7])
    np.testing.assert_allclose(volume().spacing_mm, np.linalg.norm(OBLIQUE[:3, :3], axis=0))


@pytest.mark.parametrize("echoes", [1, 2])
def test_one_and_two_echoes_are_accepted(echoes):
    assert volume(shape=(4, 5, 6, echoes)).echoes == echoes


def test_the_sequence_is_unknown_by_default():
    unknown = volume()
    assert unknown.repetition_time_ms is None
    assert unknown.spoiler_area is None


def test_a_scan_is_shown_in_one_line_without_its_voxels():
    affine = np.diag([0.385, 0.385, 1.6, 1.0])
    sequence = {"echo_times_ms": (7.0, 39.0), "repetition_time_ms": 23.0, "flip_angle_deg": 20.0}
    assert repr(volume((416, 4, 8, 2), affine, **sequence)) == (
        "Volume(416 x 4 x 8 voxels of 0.385 x 0.385 x 1.6 mm, 2 echoes at 7 and 39 ms, TR 23 ms, "
        "flip 20 deg)"
    )
    assert repr(volume((4, 5, 6, 1), affine)) == (
        "Volume(4 x 5 x 6 voxels of 0.385 x 0.385 x 1.6 mm, 1 echo at unknown, TR unknown, "
        "flip unknown)"
    )


@given(factor=st.sampled_from([2, 3, 4, 1 / 2]), index=st.integers(0, 20))
def test_a_slice_keeps_its_place_in_the_patient(factor, index):
    scan = volume()
    fine = scan.resliced(np.zeros((4, 5, 12, 2)), factor)
    position_mm = fine.affine @ [1, 2, index * factor, 1]
    np.testing.assert_allclose(position_mm, scan.affine @ [1, 2, index, 1], atol=1e-9)
    assert fine.spacing_mm[2] == pytest.approx(scan.spacing_mm[2] / factor)


def test_reslicing_keeps_the_sequence_and_leaves_the_scan_alone():
    scan = volume(echo_times_ms=(7.0, 39.0), repetition_time_ms=23.0, spoiler_area=3132.0)
    before = scan.affine.copy()
    fine = scan.resliced(np.zeros((4, 5, 12, 2)), 2)
    assert fine.echo_times_ms == (7.0, 39.0)
    assert (fine.repetition_time_ms, fine.spoiler_area) == (23.0, 3132.0)
    np.testing.assert_array_equal(scan.affine, before)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"array": np.ones((4, 5, 6))}, r"\(rows, cols, slices, echoes\), got \(4, 5, 6\)"),
        ({"array": np.ones((4, 5, 0, 1))}, r"got \(4, 5, 0, 1\)"),
        ({"array": np.ones((4, 5, 6, 3))}, "one or two echoes, got 3"),
        ({"array": np.array([[[[1.0, np.nan]]]])}, "got 1 that are NaN"),
        ({"array": np.array([[[[np.inf, np.inf]]]])}, "got 2 that are NaN or infinite"),
        ({"affine": np.eye(3)}, "4x4 affine"),
        ({"affine": np.zeros((4, 4))}, "invertible"),
        ({"affine": np.full((4, 4), np.nan)}, "finite numbers"),
        ({"echo_times_ms": (7.0,)}, r"each of 2 echoes, got \(7.0,\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_arrays_and_affines_that_are_no_scan_are_refused(changed, message):
    with pytest.raises(InputError, match=message):
        volume(**changed)


def test_the_scale_is_the_joint_percentile_of_both_echoes():
    array = np.zeros((10, 10, 10, 2), np.float32)
    array[..., 0].flat = np.arange(1000)
    expected = np.percentile(np.concatenate([np.arange(1000), np.zeros(1000)]), 99.9)
    assert intensity_scale(array) == pytest.approx(expected)


def test_the_scale_follows_the_intensities():
    array = volume().array
    assert intensity_scale(3 * array) == pytest.approx(3 * intensity_scale(array), rel=1e-6)


@pytest.mark.parametrize("array", [np.zeros((2, 2, 2, 1)), -np.ones((2, 2, 2, 1))])
def test_an_empty_image_has_no_scale(array):
    with pytest.raises(InputError, match="expected an image"):
        intensity_scale(array)
