"""Layouts of data sets (OAI, SKM-TEA, BIDS pairs) and scans that are refused or warned of."""

import json
import zipfile
from dataclasses import replace

import h5py
import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SAGITTAL, SECRETS, write_enhanced, write_study
from hdf5_scans import write_hdf5_scan
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import derived_scans, dicom, nifti, scans, skm_tea
from mrsr_tf.io.sidecar import sidecar_path
from mrsr_tf.mri import slices
from mrsr_tf.mri.zero_filling import interpolated_slices
from mrsr_tf.volume import Volume

# OAI: <visit>/<release>/<patient>/<date>/<barcode>/001


def oai(root, visit, patient, barcode, seed=0, description="SAG_3D_DESS_RIGHT", date="20040909"):
    """Writes a single-contrast scan in the layout of OAI: files 001, 002, ... without ending."""

    def change(header, index, echo):
        header.SeriesDescription, header.Manufacturer = description, "SIEMENS"
        header.RepetitionTime, header.EchoTime, header.FlipAngle = "16.3", "4.7", "25"
        header.PatientID = header.PatientName = patient

    folder = root / visit / "0.E.1" / patient / date / barcode
    array = make_array((6, 5, 4), echoes=1, seed=seed)
    write_study(folder, array, name="{slice:03d}", spoiler=None, change=change)
    return folder, array


def test_an_oai_tree_is_a_subject_for_each_scan_and_reads_bit_for_bit(tmp_path):
    written = [
        oai(tmp_path, "00m", "9000099", "10061203", 0),
        oai(tmp_path, "00m", "9000798", "10061301", 1, date="20050102"),
        oai(tmp_path, "12m", "9000099", "10398405", 2, date="20051003"),
    ]
    subjects = scans.find_scans(tmp_path)
    assert list(subjects) == ["00m_9000099", "00m_9000798", "12m"]
    assert [scan.path for scan in subjects.values()][:2] == [folder for folder, _ in written[:2]]
    for path, (_, array) in zip(subjects.values(), written, strict=True):
        volume = scans.read_scan(path)
        np.testing.assert_array_equal(volume.array, array)
        assert volume.echo_times_ms == (4.7,)
        assert (volume.repetition_time_ms, volume.flip_angle_deg) == (16.3, 25)


@pytest.mark.parametrize("depth", range(5))
def test_an_oai_scan_is_found_from_every_depth_of_its_tree(tmp_path, depth):
    folder, array = oai(tmp_path / "oai", "00m", "9000099", "10061203")
    start = [folder, *folder.parents][depth]
    (subject,) = scans.find_scans(start).values()
    np.testing.assert_array_equal(scans.read_scan(subject).array, array)


def test_both_knees_of_an_oai_patient_are_subjects_and_other_sequences_are_not(tmp_path, caplog):
    oai(tmp_path, "00m", "9000099", "10061203", 0)
    oai(tmp_path, "00m", "9000099", "10061206", 1, "SAG_3D_DESS_LEFT")
    oai(tmp_path, "00m", "9000099", "10061209", 2, "SAG_IW_TSE_LEFT")
    assert list(scans.find_scans(tmp_path)) == ["00m_10061203", "00m_10061206"]
    assert "left out, as no acquired DESS: series 7 (SAG_IW_TSE_LEFT)" in caplog.text


def test_scans_mixed_below_one_another_are_refused(tmp_path):
    study = write_study(tmp_path / "a" / "visit" / "scan", make_array((3, 3, 2)))
    write_study(study / "inner", make_array((3, 3, 2)))
    with pytest.raises(InputError, match="each scan in a folder of its own"):
        scans.find_scans(tmp_path)


# SKM-TEA


def zip2(header, index, echo):
    header.SliceThickness, header.SpacingBetweenSlices = "3", "1.5"


def test_an_skm_tea_file_alone_reads_bit_for_bit_with_the_published_geometry(tmp_path, caplog):
    path = write_hdf5_scan(tmp_path, make_array())
    volume = scans.read_scan(path)
    np.testing.assert_array_equal(volume.array, make_array())
    np.testing.assert_allclose(volume.spacing_mm, [0.3125, 0.3125, 0.8])
    assert "has no geometry; SKM-TEA's published" in caplog.text
    assert "from 1.6 mm" in interpolated_slices(volume)
    assert volume.echo_times_ms is None


def test_an_skm_tea_file_has_its_acquisition_from_a_sidecar(tmp_path):
    path = write_hdf5_scan(tmp_path, make_array())
    sidecar = {"EchoTime": [0.006, 0.03], "RepetitionTime": 0.018, "FlipAngle": 20}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    volume = scans.read_scan(path)
    assert volume.echo_times_ms == (6, 30)
    assert volume.repetition_time_ms == 18


@pytest.mark.parametrize("flipped", [False, True])
def test_an_skm_tea_file_has_the_geometry_of_its_dicom(tmp_path, caplog, flipped):
    array = make_array()
    write_study(tmp_path / "dicoms" / "MTR_001", array, change=zip2)
    path = write_hdf5_scan(tmp_path, array[:, :, ::-1] if flipped else array)
    volume, scanned = scans.read_scan(path), dicom.read_series(tmp_path / "dicoms" / "MTR_001")
    for index in range(4):
        index_there = np.linalg.inv(volume.affine) @ scanned.affine @ [2, 3, index, 1]
        place = tuple(np.rint(index_there[:3]).astype(int))
        np.testing.assert_array_equal(volume.array[place], array[2, 3, index])
    assert volume.echo_times_ms == (7, 39)
    assert "published" not in caplog.text
    assert "from 3 mm" in interpolated_slices(volume)


def test_the_skm_tea_folder_has_its_subjects_in_dicoms_else_in_image_files(tmp_path):
    for name in ("MTR_001", "MTR_002"):
        write_hdf5_scan(tmp_path, make_array(), name)
    (tmp_path / "segmentation_masks" / "dicom-track").mkdir(parents=True)
    (tmp_path / "all_metadata.csv").write_text("x")
    subjects = scans.find_scans(tmp_path)
    assert list(subjects) == ["MTR_001", "MTR_002"]
    assert subjects["MTR_001"].path.suffix == ".h5"
    for name in subjects:
        write_study(tmp_path / "dicoms" / name, make_array())
    assert scans.find_scans(tmp_path)["MTR_002"].path == tmp_path / "dicoms" / "MTR_002"


def test_a_scan_derived_from_an_skm_tea_file_is_a_nifti(tmp_path):
    path = write_hdf5_scan(tmp_path, make_array())
    volume = scans.read_scan(path)
    fine = volume.resliced(slices.interpolate(volume.array), 2)
    with pytest.raises(InputError, match=r"expected a name ending in \.nii\.gz"):
        derived_scans.check_replaceable(tmp_path / "out", scans.find_scan(path))
    scans.write_scan(fine, tmp_path / "out.nii.gz", like=path, derivation={"method": "tci"})
    again = scans.read_scan(tmp_path / "out.nii.gz")
    np.testing.assert_allclose(again.array, fine.array)
    assert interpolated_slices(again) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.pop("echo2"), "expected echo2 of rows, columns and slices"),
        (lambda file: file.__setitem__("seg", np.zeros(3)), None),
        (
            lambda file: (file.pop("echo2"), file.__setitem__("echo2", np.zeros((2, 2, 2)))),
            "matrix",
        ),
    ],
)
def test_an_skm_tea_file_without_two_echoes_of_one_matrix_is_refused(tmp_path, change, words):
    path = write_hdf5_scan(tmp_path, make_array())
    with h5py.File(path, "a") as file:
        change(file)
    if words is None:
        with pytest.raises(InputError, match="seg of 6 tissues"):
            skm_tea.read_labels(path)
    else:
        with pytest.raises(InputError, match=words):
            skm_tea.read_skm_tea(path)


def test_a_damaged_skm_tea_file_is_refused_by_name(tmp_path):
    path = write_hdf5_scan(tmp_path, make_array())
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match=r"MTR_001\.h5"):
        skm_tea.read_skm_tea(path)


# BIDS: a file for each echo


def pair(folder, array, name="sub-01_echo-{}_qdess.nii.gz", sidecars=True, affine=None):
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for echo in range(2):
        path = folder / name.format(echo + 1)
        single = Volume(array[..., echo : echo + 1], SAGITTAL if affine is None else affine[echo])
        nifti.write_nifti(single, path)
        sidecar = {"EchoTime": [0.007, 0.039][echo], "RepetitionTime": 0.023, "FlipAngle": 20}
        sidecar_path(path).write_text(json.dumps(sidecar if sidecars else {}))
        paths.append(path)
    return paths


@pytest.mark.parametrize("name", ["sub-01_echo-{}_qdess.nii.gz", "echo-{}.nii", "k_echo-0{}.nii"])
def test_two_nifti_files_of_an_echo_each_are_one_scan(tmp_path, name):
    first, second = pair(tmp_path / "sub-01", make_array(), name)
    for path in (first, first.parent):
        volume = scans.read_scan(path)
        np.testing.assert_array_equal(volume.array, make_array())
        np.testing.assert_allclose(volume.affine, SAGITTAL, atol=1e-5)
        assert volume.echo_times_ms == (7, 39)
        assert (volume.repetition_time_ms, volume.flip_angle_deg) == (23, 20)
    np.testing.assert_array_equal(scans.read_scan(second).array, make_array()[..., 1:])


def test_pairs_in_one_folder_are_subjects(tmp_path):
    for subject in ("sub-01", "sub-02"):
        pair(tmp_path, make_array(), subject + "_echo-{}_qdess.nii.gz")
    assert list(scans.find_scans(tmp_path)) == ["sub-01_qdess", "sub-02_qdess"]


def test_a_bids_tree_has_a_subject_for_each_folder(tmp_path):
    for subject in ("sub-01", "sub-02"):
        pair(tmp_path / subject / "anat", make_array(), subject + "_echo-{}_qdess.nii.gz")
    (tmp_path / "participants.tsv").write_text("participant_id")
    subjects = scans.find_scans(tmp_path)
    assert list(subjects) == ["sub-01", "sub-02"]
    np.testing.assert_array_equal(scans.read_scan(subjects["sub-02"]).array, make_array())


def test_both_files_of_a_pair_are_the_source_of_what_is_derived(tmp_path):
    first, second = pair(tmp_path, make_array())
    before = scans.read_scan(first).identity
    volume = nifti.read_nifti(second)
    nifti.write_nifti(replace(volume, array=volume.array[::-1]), second)
    assert scans.read_scan(first).identity != before


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"EchoTime": 0.039, "RepetitionTime": 0.024, "FlipAngle": 20}, "one repetition time ms"),
        ({"EchoTime": 0.039, "RepetitionTime": 0.023, "FlipAngle": 25}, "one flip angle deg"),
        ({"EchoTime": 0.005, "RepetitionTime": 0.023, "FlipAngle": 20}, "echo 2 after echo 1"),
    ],
)
def test_a_pair_whose_sidecars_contradict_is_refused(tmp_path, sidecar, words):
    first, second = pair(tmp_path, make_array())
    sidecar_path(second).write_text(json.dumps(sidecar))
    with pytest.raises(InputError, match=f"{words}.*{second.name}"):
        nifti.read_nifti(first)


def test_a_pair_of_different_grids_is_refused(tmp_path):
    first, second = pair(tmp_path, make_array())
    nifti.write_nifti(Volume(make_array((6, 5, 3))[..., :1], SAGITTAL), second)
    with pytest.raises(InputError, match="two echoes of one matrix"):
        nifti.read_nifti(first)
    away = SAGITTAL.copy()
    away[0, 3] += 1
    pair(tmp_path, make_array(), affine=[SAGITTAL, away])
    with pytest.raises(InputError, match="two echoes on one grid"):
        nifti.read_nifti(first)


def test_a_pair_without_sidecars_is_read_with_its_acquisition_unknown(tmp_path):
    first, _ = pair(tmp_path, make_array(), sidecars=False)
    assert scans.read_scan(first).echo_times_ms is None


# Unusual and damaged scans


def test_a_nifti_without_a_unit_is_read_as_mm_with_a_warning(tmp_path, caplog):
    image = nib.Nifti1Image(np.ones((3, 3, 3), np.int16), np.diag([0.5, 0.5, 1, 1]))
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(scans.read_scan(tmp_path / "a.nii").spacing_mm, [0.5, 0.5, 1])
    assert "a.nii names no unit of length: it is read as mm" in caplog.text


@pytest.mark.parametrize("size", [0.0005, 500])
def test_a_nifti_without_a_unit_whose_spacings_cannot_be_mm_is_refused(tmp_path, size):
    nib.save(
        nib.Nifti1Image(np.ones((3, 3, 3), np.int16), np.diag([size] * 3 + [1])),
        tmp_path / "a.nii",
    )
    with pytest.raises(InputError, match=r"20 mm, got .* as no unit is named, in .*a\.nii"):
        scans.read_scan(tmp_path / "a.nii")


def test_echo_times_of_another_sequence_cause_a_warning(tmp_path, caplog):
    def change(header, index, echo):
        header.EchoTime = ["7", "35"][echo]

    write_study(tmp_path, make_array(), change=change)
    np.testing.assert_array_equal(scans.read_scan(tmp_path).array, make_array())
    assert "at 2 TR - TE1 = 39 ms, got 35 ms" in caplog.text


def test_a_regular_scan_causes_no_warning(tmp_path, caplog):
    write_study(tmp_path / "a", make_array())
    write_enhanced(tmp_path / "b", make_array())
    for name in "ab":
        scans.read_scan(tmp_path / name)
    assert not caplog.text


@pytest.mark.parametrize("echo", [0, 1])
def test_an_echo_of_zeros_is_refused(tmp_path, echo):
    array = make_array()
    array[..., echo] = 0
    write_study(tmp_path, array)
    with pytest.raises(InputError, match=rf"got only zeros as echo {echo + 1} of"):
        scans.read_scan(tmp_path)


def test_a_nifti_that_is_not_finite_is_refused(tmp_path):
    array = np.ones((3, 3, 3), np.float32)
    array[1, 1, 1] = np.nan
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"1 that are NaN or infinite in .*a\.nii"):
        scans.read_scan(tmp_path / "a.nii")


def refused(folder, words):
    with pytest.raises(InputError, match=words) as refusal:
        scans.read_scan(folder)
    assert not any(secret in str(refusal.value) for secret in SECRETS)


def test_mixed_orientations_are_refused_naming_two_files(tmp_path):
    def change(header, index, echo):
        if index == 2:
            header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]

    write_study(tmp_path, make_array(), change=change)
    refused(tmp_path, "expected one orientation, got two .*slice000_echo1.*slice002_echo1")


def test_echoes_of_different_matrix_are_refused_naming_two_files(tmp_path):
    write_study(
        tmp_path, make_array(), name="a{slice}_{echo}", change=lambda h, i, e: e and h.clear()
    )
    wide = make_array((6, 8, 4))
    write_study(tmp_path, wide, name="b{slice}_{echo}", change=lambda h, i, e: e or h.clear())
    for file in tmp_path.iterdir():
        unify(file)
    refused(tmp_path, "each scan in a folder of its own, got two mixed in")


def unify(file):
    import pydicom

    header = pydicom.dcmread(file)
    header.FrameOfReferenceUID, header.StudyInstanceUID = "2.25.1", "2.25.2"
    header.save_as(file)


def test_a_gap_of_one_slice_in_one_echo_is_refused_with_its_position(tmp_path):
    write_study(tmp_path, make_array(), one_series=False, name="e{echo}/{slice:03d}")
    (tmp_path / "e2" / "001").unlink()
    refused(tmp_path, r"echo 2 at 39 ms is missing at -33\.75 mm .*e1/001")


def test_echoes_without_number_and_time_are_refused_in_two_series_too(tmp_path):
    def change(header, index, echo):
        del header.EchoNumbers, header.EchoTime

    write_study(tmp_path, make_array(), one_series=False, change=change)
    refused(tmp_path, "images without EchoNumbers without EchoTime")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("BitsStored", 8), ("PixelRepresentation", 0), ("PhotometricInterpretation", "MONOCHROME1")],
)
def test_one_image_stored_in_another_form_is_refused(tmp_path, keyword, value):
    def change(header, index, echo):
        if (index, echo) == (2, 1):
            setattr(header, keyword, value)

    write_study(tmp_path, make_array(), change=change)
    refused(tmp_path, "one form of stored values, got two .*slice002_echo2")


def test_one_image_of_another_spoiler_is_refused(tmp_path):
    def change(header, index, echo):
        if (index, echo) == (2, 1):
            header[0x0019, 0x10B6].value = "3172"

    write_study(tmp_path, make_array(), change=change)
    refused(tmp_path, r"one spoiler area and duration, got \(3132.*3172.*slice002_echo2")


def test_the_real_knee_reads_the_same_from_a_zip_archive(real_knee, tmp_path):
    with zipfile.ZipFile(tmp_path / "knee.zip", "w") as archive:
        for file in real_knee.iterdir():
            archive.write(file, f"knee/{file.name}")
    np.testing.assert_array_equal(
        dicom.read_series(tmp_path / "knee.zip").array, dicom.read_series(real_knee).array
    )
