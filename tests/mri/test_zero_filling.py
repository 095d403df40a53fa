import numpy as np
import pytest
from dicom_studies import SAGITTAL, write_study
from random_scans import make_array
from scipy import ndimage

from mrsr_tf.io import derived_scans, dicom, nifti, scans
from mrsr_tf.io.sidecar import read_sidecar
from mrsr_tf.mri import slices
from mrsr_tf.mri.zero_filling import interpolated_slices, upper_band_power
from mrsr_tf.volume import Volume


def acquired(slice_count=40, seed=0, noise=15.0):
    """Blobs with edges, as tissue has, of a width that the slices resolve, and noise."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=(40, 40, slice_count)), 1.5)
    return 500 + 300 * (smooth > 0) + random.normal(0, noise, smooth.shape)


def zero_filled(image, factor=2):
    """What ZIP2 does: the slice spectrum of the complex image filled up with zeros; magnitude."""
    rows, _, count = image.shape
    phase = np.exp(2j * np.pi * np.arange(rows)[:, None, None] / rows)
    spectrum = np.fft.fftshift(np.fft.fft(image * phase, axis=2), axes=2)
    pad = (factor - 1) * count // 2
    wide = np.pad(spectrum, ((0, 0), (0, 0), (pad, pad)))
    return factor * np.abs(np.fft.ifft(np.fft.ifftshift(wide, axes=2), axis=2))


def volume(image, **header):
    return Volume(image[..., None], np.diag([0.4, 0.4, 0.8, 1]), **header)


def set_thickness(thickness, spacing=None):
    def change(header, index, echo):
        header.SliceThickness = thickness
        if spacing:
            header.SpacingBetweenSlices = spacing

    return change


@pytest.mark.parametrize("noise", [0.0, 15.0, 60.0])
def test_acquired_slices_are_left_alone(noise):
    assert interpolated_slices(volume(acquired(noise=noise), slice_thickness_mm=0.8)) is None


@pytest.mark.parametrize("slice_count", [16, 17, 24, 80])
@pytest.mark.parametrize("noise", [0.0, 15.0, 60.0])
def test_zero_filled_slices_are_told_by_their_spectrum(slice_count, noise):
    image = zero_filled(acquired(slice_count, noise=noise))
    reason = interpolated_slices(volume(image))
    assert reason == (
        "its slices of 0.8 mm were interpolated from thicker ones (the upper half of the slice "
        "spectrum is empty)"
    )


@pytest.mark.parametrize("method", ["tricubic", "fourier"])
def test_resampled_slices_are_told_by_their_spectrum(method):
    image = slices.interpolate(acquired(), method=method)
    assert "spectrum" in interpolated_slices(volume(image))


def test_air_and_magnitude_do_not_hide_the_empty_half():
    image = acquired(noise=30)
    image[:, 12:] = 30 * np.random.default_rng(1).normal(size=image[:, 12:].shape)
    assert upper_band_power(zero_filled(image)) < 0.01


def test_zip2_is_told_by_the_header_though_few_slices_have_no_spectrum_to_judge(tmp_path):
    study = write_study(tmp_path, make_array(), change=set_thickness("3", "1.5"))
    assert interpolated_slices(dicom.read_series(study)) == (
        "its slices of 1.5 mm were interpolated from 3 mm (SliceThickness)"
    )


@pytest.mark.parametrize("thickness", ["1.5", "1.2", "2", "", None])
def test_slices_as_thick_as_they_are_far_apart_are_acquired(tmp_path, thickness):
    study = write_study(tmp_path, make_array(), change=set_thickness(thickness))
    assert interpolated_slices(dicom.read_series(study)) is None


def test_the_sidecar_of_a_nifti_tells_it_too(tmp_path):
    scanned = Volume(make_array(), SAGITTAL, slice_thickness_mm=3.0)
    nifti.write_nifti(scanned, tmp_path / "scan.nii.gz")
    assert read_sidecar(tmp_path / "scan.nii.gz")["SliceThickness"] == 3
    assert "from 3 mm" in interpolated_slices(scans.read_scan(tmp_path / "scan.nii.gz"))


def test_what_cannot_be_judged_is_left_alone():
    for image in (acquired()[:, :, :1], np.zeros((4, 4, 40)), np.full((4, 4, 40), 1e6)):
        assert interpolated_slices(volume(image)) is None


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
def test_our_own_output_is_not_taken_for_interpolated(tmp_path, kind):
    image = acquired().astype(np.int16)
    source, output = tmp_path / "source", tmp_path / "output"
    if kind == "dicom":
        write_study(source, image, change=set_thickness("1.5"))
    else:
        source, output = source.with_suffix(".nii"), output.with_suffix(".nii")
        nifti.write_nifti(volume(image, slice_thickness_mm=0.8), source)
    scanned = scans.read_scan(source)
    fine = scanned.resliced(slices.interpolate(scanned.array), 2)
    derived_scans.write(fine, output, source=scans.find_scan(source), derivation={"method": "tci"})
    again = scans.read_scan(output)
    assert upper_band_power(again.array[..., 0]) < 0.01
    assert again.derived
    assert interpolated_slices(again) is None
    assert interpolated_slices(fine) is None


def test_reading_warns_and_says_what_to_do(tmp_path, caplog):
    write_study(tmp_path, make_array(), change=set_thickness("3"))
    scans.read_scan(tmp_path)
    assert "interpolated from 3 mm (SliceThickness)" in caplog.text
    assert "do not train on them" in caplog.text


def test_the_real_knee_is_acquired_and_its_zero_filled_copy_is_not(real_knee):
    knee = dicom.read_series(real_knee)
    assert interpolated_slices(knee) is None
    part = knee.array[100:200, 100:200, :, 0]
    assert upper_band_power(part) > 0.2
    assert upper_band_power(zero_filled(part)) < 0.005
