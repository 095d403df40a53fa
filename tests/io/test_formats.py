"""The registry of formats: how scans are recognised, identified, and derived from."""

import pickle
import zipfile

import h5py
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_studies import SECRETS, write_study
from hdf5_scans import write_hdf5_scan
from random_scans import make_array, make_scan

from mrsr_tf.errors import InputError
from mrsr_tf.io import derived_scans, dicom, scans
from mrsr_tf.io.formats import FORMATS, format_of
from mrsr_tf.io.nifti import write_nifti
from mrsr_tf.io.sidecar import read_sidecar
from mrsr_tf.mri import slices


def write_dicom(folder, patient="PAT-4711", name="Doe^Jane"):
    def change(header, index, echo):
        header.PatientID, header.PatientName = patient, name

    return write_study(folder, make_array(), name="{slice}_{echo}", change=change)


def write_image(path):
    write_nifti(make_scan(make_array().shape[:3]), path)
    return path


def write_archive(path, *files):
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, file.name)
    return path


@pytest.fixture
def paths(tmp_path):
    """A scan of each format, by the name of its class."""
    image = write_image(tmp_path / "a.nii.gz")
    return {
        "Nifti": image,
        "ZippedNifti": write_archive(tmp_path / "a.zip", image),
        "SkmTea": write_hdf5_scan(tmp_path, make_array()),
        "Dicom": write_dicom(tmp_path / "dicom"),
    }


def test_every_scan_is_of_the_format_it_was_written_in(paths):
    assert [type(scan_format).__name__ for scan_format in FORMATS] == list(paths)
    assert [type(format_of(path)).__name__ for path in paths.values()] == list(paths)


def test_every_format_reads_and_identifies_its_scan(paths):
    one_of_each = [scans.find_scan(path) for path in paths.values()]
    volumes = [scan.read() for scan in one_of_each]
    assert {volume.array.size for volume in volumes} == {make_array().size}
    assert {len(volume.identity) for volume in volumes} == {16}


def test_a_scan_is_the_same_one_in_another_process(paths):
    for path in paths.values():
        scan = scans.find_scan(path)
        assert pickle.loads(pickle.dumps(scan)) == scan


def test_archives_of_dicom_and_unreadable_ones_are_left_to_dicom(paths, tmp_path):
    files = paths["Dicom"].iterdir()
    assert isinstance(format_of(write_archive(tmp_path / "b.zip", *files)), dicom.Dicom)
    (tmp_path / "c.zip").write_bytes(paths["ZippedNifti"].read_bytes()[:-30])
    assert isinstance(format_of(tmp_path / "c.zip"), dicom.Dicom)


# Patients


def patient(path):
    return scans.find_scan(path).patient()


def test_dicom_names_a_patient_by_number_else_by_name(tmp_path):
    assert patient(write_dicom(tmp_path / "a", " 4711 ")) == "4711"
    assert patient(write_dicom(tmp_path / "b", "")) == "Doe^Jane"
    assert patient(write_dicom(tmp_path / "c", "", "")) is None
    assert patient(write_archive(tmp_path / "d.zip", tmp_path / "a" / "0_1")) == "4711"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-07/ses-1/anat/sub-07_ses-1_qdess.nii.gz", "sub-07"),
        ("flat/sub-07_ses-2_qdess.nii", "sub-07"),
        ("sub-all/x/y/z/knee.nii.gz", None),
        ("knees/knee_1.nii.gz", None),
    ],
)
def test_a_nifti_names_a_patient_as_bids_does(tmp_path, name, expected):
    assert patient(write_image(tmp_path / name)) == expected


def test_an_skm_tea_file_has_the_patient_of_its_dicom(tmp_path):
    (tmp_path / "image_files").mkdir()
    for name in ("MTR_001", "MTR_002"):
        with h5py.File(tmp_path / "image_files" / f"{name}.h5", "w") as file:
            file["echo1"] = file["echo2"] = make_array()[..., 0]
    write_dicom(tmp_path / "dicoms" / "MTR_001", "0815")
    files = sorted((tmp_path / "image_files").iterdir())
    assert [patient(path) for path in files] == ["0815", None]


# Derived scans


def fine_of(path):
    volume = scans.read_scan(path)
    return volume.resliced(slices.interpolate(volume.array), 2)


@pytest.mark.parametrize("name", ["Nifti", "ZippedNifti", "SkmTea"])
def test_a_scan_derived_from_a_file_is_a_nifti(paths, tmp_path, name):
    fine, output = fine_of(paths[name]), tmp_path / "out" / "fine.nii.gz"
    scans.write_scan(fine, output, like=paths[name], derivation={"method": "tci"})
    np.testing.assert_allclose(scans.read_scan(output).array, fine.array)
    source = scans.read_scan(paths[name]).identity
    assert read_sidecar(output)["Derivation"] == {"method": "tci", "source": source}
    with pytest.raises(InputError, match=r"expected a name ending in \.nii\.gz for the output"):
        scans.write_scan(fine, tmp_path / "folder", like=paths[name])


def test_a_scan_derived_from_dicom_is_a_folder_of_dicom(paths, tmp_path):
    fine = fine_of(paths["Dicom"])
    scans.write_scan(fine, tmp_path / "fine", like=paths["Dicom"])
    again = scans.read_scan(tmp_path / "fine")
    np.testing.assert_allclose(again.array, fine.array, atol=0.51)
    assert again.derived
    with pytest.raises(InputError, match="expected a folder for the output, as the scan is DICOM"):
        scans.write_scan(fine, tmp_path / "fine.nii.gz", like=paths["Dicom"])


def test_a_derived_scan_is_replaced_and_other_data_are_not(paths, tmp_path):
    fine = fine_of(paths["Dicom"])
    for _ in range(2):
        scans.write_scan(fine, tmp_path / "fine", like=paths["Dicom"])
    with pytest.raises(InputError, match="found other data"):
        scans.write_scan(fine, paths["Dicom"], like=paths["Dicom"])
    assert len(list(paths["Dicom"].iterdir())) == 8


def test_two_derived_scans_without_a_derivation_are_different_images(paths, tmp_path):
    fine = fine_of(paths["Dicom"])
    for name in ("a", "b"):
        scans.write_scan(fine, tmp_path / name, like=paths["Dicom"])
    first, second = (
        {pydicom.dcmread(file).SOPInstanceUID for file in (tmp_path / name).iterdir()}
        for name in ("a", "b")
    )
    assert not first & second


def test_uncertainty_maps_are_named_after_their_output(tmp_path):
    for name in ("fine", "fine.nii", "fine.nii.gz"):
        image, t2 = derived_scans.maps_beside(tmp_path / name)
        assert image.name == "fine_uncertainty.nii.gz"
        assert t2.name == "fine_t2_uncertainty_ms.nii.gz"


def test_messages_name_the_subject_and_never_the_patient(paths, tmp_path, caplog):
    zeros = np.zeros(make_array().shape, np.int16)
    write_study(tmp_path / "empty", zeros)
    with pytest.raises(InputError, match=r"only zeros as echo 1 of .*empty$") as refused:
        scans.read_scan(tmp_path / "empty")
    assert not any(secret in str(refused.value) + caplog.text for secret in SECRETS)
    assert nib.load(paths["Nifti"]).shape[3] == 2
