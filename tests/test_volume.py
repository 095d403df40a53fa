"""What a scan must be, and where its slices go when their spacing changes."""

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
    found = volume(array=np.ones((2, 2, 2, 1), np.int16), affine=np.eye(4, dtype=np.float32))
    assert found.array.dtype == np.float32
    assert found.affine.dtype == np.float64


def test_spacing_is_the_length_of_the_affines_columns():
    found = volume(affine=np.diag([0.3, 0.4, 0.7, 1.0])).spacing_mm
    np.testing.assert_allclose(found, [0.3, 0.4, 0.7])
    np.testing.assert_allclose(volume().spacing_mm, np.linalg.norm(OBLIQUE[:3, :3], axis=0))


@pytest.mark.parametrize("echoes", [1, 2])
def test_one_or_two_echoes(echoes):
    assert volume(shape=(4, 5, 6, echoes)).echoes == echoes


def test_the_sequence_is_unknown_until_told():
    found = volume()
    assert found.repetition_time_ms is None
    assert found.spoiler_area is None


@given(factor=st.sampled_from([2, 3, 4, 1 / 2]), index=st.integers(0, 20))
def test_a_slice_keeps_its_place_in_the_patient(factor, index):
    scan = volume()
    fine = scan.resliced(np.zeros((4, 5, 12, 2)), factor)
    there = fine.affine @ [1, 2, index * factor, 1]
    np.testing.assert_allclose(there, scan.affine @ [1, 2, index, 1], atol=1e-9)
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
def test_what_is_no_scan_is_refused(changed, message):
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
