"""What only a real scan can show. Skipped, saying so, where it is absent."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from mrsr_tf.io import dicom, nifti, scans
from mrsr_tf.mri import slices


@pytest.fixture(scope="module")
def knee(real_knee):
    return dicom.read_series(real_knee)


@pytest.fixture(scope="module")
def output(real_knee, knee, tmp_path_factory):
    """Twice the slices, by interpolation: what is tested is how they are written."""
    folder = tmp_path_factory.mktemp("knee") / "series"
    fine = knee.resliced(slices.interpolate(knee.array, 2), 2)
    dicom.write_series(fine, folder, like=real_knee, derivation={"method": "tci"})
    return folder


def test_it_is_read_whole_with_its_acquisition(knee):
    assert knee.array.shape == (512, 512, 48, 2)
    np.testing.assert_allclose(knee.spacing_mm, [0.3125, 0.3125, 1.5], atol=1e-4)
    assert knee.echo_times_ms == (7.48, 42.52)
    assert (knee.repetition_time_ms, knee.flip_angle_deg) == (25, 30)
    assert (knee.spoiler_area, knee.spoiler_duration_us) == (3132, 1760)


def test_every_voxel_is_the_scanners(real_knee, knee):
    for name, index, echo in (("IM0065.dcm", 0, 0), ("IM0068.dcm", 1, 1), ("IM0160.dcm", 47, 1)):
        header = pydicom.dcmread(real_knee / name)
        np.testing.assert_array_equal(knee.array[:, :, index, echo], header.pixel_array)
        np.testing.assert_allclose(
            (knee.affine @ [0, 0, index, 1])[:3], header.ImagePositionPatient, atol=1e-3
        )


def test_a_landmark_keeps_its_patient_position(real_knee, knee, output):
    """The brightest voxel of a slice, by its own file's header, before and after."""
    source = pydicom.dcmread(real_knee / "IM0113.dcm")
    row, col = np.unravel_index(source.pixel_array.argmax(), (512, 512))
    cosines = np.reshape(source.ImageOrientationPatient, (2, 3)).astype(float)
    in_plane = cosines[1] * row * 0.3125 + cosines[0] * col * 0.3125
    there = np.array(source.ImagePositionPatient, float) + in_plane
    again = dicom.read_series(output)
    voxel = np.rint(np.linalg.inv(again.affine) @ [*there, 1]).astype(int)
    np.testing.assert_allclose((again.affine @ voxel)[:3], there, atol=0.01)
    assert tuple(voxel[:2]) == (row, col)
    assert again.array[(*voxel[:3], 0)] == pytest.approx(source.pixel_array.max(), abs=0.51)


def test_ninety_six_valid_files_of_each_echo(output):
    files = sorted(output.iterdir())
    assert len(files) == 2 * 96
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    for file in files:
        said = subprocess.run(["dciodvfy", file], capture_output=True, text=True).stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], file.name


def test_its_t2_map_is_valid_dicom(real_knee, knee, tmp_path):
    t2_ms = np.where(knee.array[..., 0] > 1000, 40.0, np.nan)
    dicom.write_t2_map(t2_ms, knee, tmp_path, like=real_knee)
    np.testing.assert_allclose(dicom.read_series(tmp_path).array[..., 0], np.nan_to_num(t2_ms))
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    file = tmp_path / "t2_0001.dcm"
    said = subprocess.run(["dciodvfy", file], capture_output=True, text=True).stderr
    assert not [line for line in said.splitlines() if line.startswith("Error")]


def test_it_goes_through_nifti_unchanged(knee, tmp_path):
    nifti.write_nifti(knee, tmp_path / "knee.nii")
    again = scans.read_scan(tmp_path / "knee.nii")
    np.testing.assert_array_equal(again.array, knee.array)
    np.testing.assert_allclose(again.affine, knee.affine, atol=1e-4)
    assert again.echo_times_ms == knee.echo_times_ms


def test_it_is_one_subject_whose_output_names_it_as_source(real_knee, output):
    assert scans.find_scans(real_knee) == {"qdess_knee": scans.find_scan(real_knee)}
    assert dicom.read_derivation(output) == {
        "method": "tci",
        "acquired_slice_thickness_mm": 1.5,
        "source": scans.read_scan(real_knee).identity,
    }
