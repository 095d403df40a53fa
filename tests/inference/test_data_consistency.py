import numpy as np
import pytest
from small_scans import knee

from mrsr_tf.inference.data_consistency import (
    back_projection,
    enforce_data_consistency,
    measure_residual,
    residual,
)
from mrsr_tf.mri.slices import first_slice, interpolate, thicken, thicken_matrix
from mrsr_tf.volume import Volume


def fine_and_thick(thick_slices: int, factor: int, echoes: int = 2):
    random = np.random.default_rng(thick_slices)
    fine = random.uniform(0, 3000, (3, 4, factor * thick_slices, echoes)).astype(np.float32)
    return fine, random.uniform(0, 3000, (3, 4, thick_slices, echoes)).astype(np.float32)


def rms(difference) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


@pytest.mark.parametrize("exponent", [-19, 0, 11])
def test_the_residual_is_a_fraction_of_scale_and_noise_for_intensities_of_any_size(exponent):
    fine, thick = fine_and_thick(6, 2)
    expected = rms(residual(fine, thick)) / np.percentile(thick, 99.9)
    volumes = (Volume(10.0**exponent * array, np.eye(4)) for array in (fine, thick))
    measured = measure_residual(*volumes)
    assert measured.of_scale == pytest.approx(expected, rel=1e-4)
    assert measured.of_noise == pytest.approx(measure_residual(*(
        Volume(array, np.eye(4)) for array in (fine, thick))).of_noise, rel=1e-4)  # fmt: skip


def test_one_voxel_of_1e30_has_a_finite_residual():
    fine, thick = fine_and_thick(6, 2)
    fine[1, 1, 3] = 1e30
    measured = measure_residual(Volume(fine, np.eye(4)), Volume(thick, np.eye(4)))
    assert 1e24 < measured.of_scale < 1e27


@pytest.mark.parametrize("profile", ["fir", "box", "kspace"])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("thick_slices", [1, 2, 7, 40])
def test_thickened_again_the_result_is_the_input(profile, factor, thick_slices):
    fine, thick = fine_and_thick(thick_slices, factor)
    assert rms(residual(fine, thick, profile=profile)) > 100
    after = enforce_data_consistency(fine, thick, profile=profile)
    np.testing.assert_allclose(thicken(after, factor, profile=profile), thick, atol=0.02)
    assert rms(residual(after, thick, profile=profile)) < 0.01


def test_the_result_is_the_nearest_consistent_scan():
    """Computed from the pseudo-inverse of the thickening."""
    fine, thick = fine_and_thick(9, 2, echoes=1)
    matrix = thicken_matrix(18, 2, "fir")
    column = fine[1, 2, :, 0].astype(float)
    expected = column + np.linalg.pinv(matrix) @ (thick[1, 2, :, 0] - matrix @ column)
    np.testing.assert_allclose(
        enforce_data_consistency(fine, thick)[1, 2, :, 0], expected, atol=0.02
    )


def test_a_consistent_scan_is_not_changed():
    fine, _ = fine_and_thick(8, 2)
    thick = thicken(fine, 2)
    assert np.abs(residual(fine, thick)).max() == 0
    np.testing.assert_array_equal(enforce_data_consistency(fine, thick), fine)


def test_the_residual_is_not_amplified_where_the_profile_has_little_gain():
    matrix = thicken_matrix(80, 2, "kspace_hamming")
    assert np.linalg.norm(np.linalg.pinv(matrix), 2) > 15
    assert np.linalg.norm(back_projection(80, 2, "kspace_hamming"), 2) < 4.5
    fine, thick = fine_and_thick(40, 2)
    before = rms(residual(fine, thick, profile="kspace_hamming"))
    after = enforce_data_consistency(fine, thick, profile="kspace_hamming")
    assert 0 < rms(residual(after, thick, profile="kspace_hamming")) < 0.6 * before


@pytest.mark.parametrize("profile", ["fir", "box", "kspace"])
def test_consistency_shifts_nothing(profile):
    """A wave of 12 fine slices keeps its phase, away from the ends."""
    place = np.arange(144)
    wave = 1000 + 100 * np.sin(2 * np.pi * place / 12 + 0.4)[None, None, :, None]
    thick = thicken(wave, 2, profile=profile)
    start = interpolate(thick, 2, first=first_slice(profile, 2))
    after = enforce_data_consistency(start, thick, profile=profile)[0, 0, 24:-24, 0]
    turning = np.exp(-2j * np.pi * place[24:-24] / 12)
    before = wave[0, 0, 24:-24, 0]
    delay = np.angle(((after - 1000) @ turning) / ((before - 1000) @ turning))
    assert abs(delay) * 12 / (2 * np.pi) < 1e-3


@pytest.mark.parametrize(
    ("profile", "worst"), [("fir", 1.0), ("kspace", 1.0), ("kspace_hamming", 1.0), ("box", 1.1)]
)
def test_a_scan_with_another_slice_profile_becomes_hardly_worse(profile, worst):
    """The assumed profile is always fir; slices of box lie half a fine slice elsewhere."""
    scan, _, _ = knee((24, 20, 32), noise=20.0)
    thick = thicken(scan.array, 2, profile=profile)
    fine = interpolate(thick, 2)
    errors = [
        np.mean(np.square(a - scan.array)) for a in (fine, enforce_data_consistency(fine, thick))
    ]
    assert errors[1] < worst * errors[0]
