import json

import h5py
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, write_study
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scans import make_array
from scipy.spatial.transform import Rotation

from eval.regions import rois as regions
from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom, nifti, scans, skm_tea
from mrsr_tf.io import labels as rois
from mrsr_tf.volume import Volume

RAS_LPS = np.diag([-1.0, -1, 1, 1])


def blank(shape=(12, 10, 8), affine=SAGITTAL):
    return Volume(np.ones((*shape, 1)), affine)


def ball(shape, affine, centre, radius_mm=3.0):
    """Labels of a ball around a position in the patient, on any grid."""
    index = np.stack([*np.indices(shape), np.ones(shape)])
    position = np.einsum("ij,j...->i...", affine, index)[:3]
    apart = position - np.reshape(centre, (3, 1, 1, 1))
    return (np.linalg.norm(apart, axis=0) <= radius_mm).astype(np.uint8)


def centroid(labels, affine):
    return (affine @ [*np.argwhere(labels).mean(0), 1])[:3]


def middle(volume):
    return (volume.affine @ [*(np.array(volume.array.shape[:3]) - 1) / 2, 1])[:3]


def write_labels(path, labels, affine, names=None):
    nib.save(nib.Nifti1Image(labels, RAS_LPS @ affine), path)
    if names:
        path.with_name("rois.json").write_text(json.dumps(names))
    return path


def test_labels_on_the_scans_grid_come_back_as_they_are(tmp_path):
    volume = blank()
    labels = np.random.default_rng(0).integers(0, 4, volume.array.shape[:3]).astype(np.uint8)
    nifti.write_map(labels, volume, tmp_path / "rois.nii.gz")
    (tmp_path / "rois.json").write_text('{"patella": 1}')
    found, names = rois.read_labels(tmp_path / "rois.nii.gz", volume)
    np.testing.assert_array_equal(found, labels)
    assert names == {"patella": 1}


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    spacing=st.tuples(*[st.floats(0.3, 0.8)] * 3),
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
)
def test_labels_of_any_grid_land_where_they_were_drawn(seed, spacing, order, flips):
    """A ball on a rotated, flipped, permuted grid is the same ball on the grid of the scan."""
    volume = blank((24, 24, 20), np.diag([0.5, 0.5, 0.6, 1]))
    centre = middle(volume)
    axes = Rotation.random(random_state=seed).as_matrix()[:, order] * flips * spacing
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, centre - axes @ [20, 20, 20]
    labels = ball((41, 41, 41), affine, centre)
    found = rois.resampled(labels.astype(np.int32), affine, volume)
    expected = ball(volume.array.shape[:3], volume.affine, centre)
    np.testing.assert_allclose(centroid(found, volume.affine), centre, atol=0.15)
    overlap = 2 * np.sum(found * expected) / (found.sum() + expected.sum())
    assert overlap > 0.85


def test_each_voxel_has_the_label_of_the_nearest_by_position():
    labels = np.arange(1, 5, dtype=np.int32).reshape(1, 1, 4)
    thick = np.diag([1.0, 1, 2, 1])
    fine = Volume(np.ones((1, 1, 12, 1)), np.diag([1, 1, 0.5, 1]))
    found = rois.resampled(labels, thick, fine)[0, 0]
    # Fine slice i is at thick slice i / 4; ties go up, the last thick slice extends by half.
    np.testing.assert_array_equal(found, [1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4])
    shifted = Volume(fine.array, fine.affine @ np.diag([1, 1, -1, 1]))
    np.testing.assert_array_equal(rois.resampled(labels, thick, shifted)[0, 0], [1, 1, 1] + [0] * 9)


def test_labels_outside_of_the_scan_are_refused_if_all_and_warned_of_if_most(tmp_path, caplog):
    volume = blank()
    away = SAGITTAL.copy()
    away[:3, 3] += 500
    path = write_labels(tmp_path / "rois.nii.gz", np.ones((4, 4, 4), np.uint8), away)
    with pytest.raises(InputError, match=r"labels that lie in the scan.*rois\.nii\.gz"):
        rois.read_labels(path, volume)
    partly = SAGITTAL.copy()
    partly[:3, 3] = (SAGITTAL @ [9, 0, 0, 1])[:3]
    write_labels(path, np.ones((12, 10, 8), np.uint8), partly)
    rois.read_labels(path, volume)
    assert "75 % of the labels lie outside" in caplog.text


def test_labels_that_are_no_integers_are_refused(tmp_path):
    path = write_labels(tmp_path / "rois.nii", np.full((3, 3, 3), 0.5, np.float32), SAGITTAL)
    with pytest.raises(InputError, match="labels that are integers"):
        rois.read_labels(path, blank())
    write_labels(path, np.full((3, 3, 3), 2, np.float32), SAGITTAL)
    assert rois.read_labels(path, blank())[0][0, 0, 0] == 2


def test_a_4d_label_map_and_a_missing_one_are_refused(tmp_path):
    path = write_labels(tmp_path / "rois.nii", np.ones((3, 3, 3, 2), np.uint8), SAGITTAL)
    with pytest.raises(InputError, match="expected a 3-D NIfTI"):
        rois.read_labels(path, blank())
    for missing in ("x.nii", "x.dcm"):
        with pytest.raises(InputError, match="found nothing at"):
            rois.read_labels(tmp_path / missing, blank())


# DICOM SEG


def write_segmentation(path, study, labels, names=("Femoral cartilage", "Patella")):
    """Writes labels (rows, cols, slices) of echo 1 of the study with highdicom."""
    highdicom = pytest.importorskip("highdicom")
    from pydicom.sr.codedict import codes

    headers = [pydicom.dcmread(file) for file in sorted(study.glob("*echo1*"))]
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Cartilage,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(names, 1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=headers,
        pixel_array=labels.transpose(2, 0, 1).astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=90,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="A reader",
        manufacturer_model_name="By hand",
        software_versions="1",
        device_serial_number="1",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    segmentation.save_as(path)
    return path


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "knee" / "dicom", make_array((12, 10, 8)))


@pytest.mark.parametrize("drawn", [slice(None), slice(3, 4), slice(2, 7, 2)])
def test_a_dicom_seg_lands_on_its_scan_whichever_slices_were_drawn(tmp_path, study, drawn):
    volume = dicom.read_series(study)
    labels = np.zeros((12, 10, 8), np.uint8)
    labels[3:6, 4:9, drawn], labels[8:10, 1:3, drawn] = 1, 2
    path = write_segmentation(tmp_path / "rois.dcm", study, labels)
    found, names = rois.read_labels(path, volume)
    np.testing.assert_array_equal(found, labels)
    assert names == {"femoral_cartilage": 1, "patella": 2}


def test_a_dicom_seg_follows_the_scan_to_finer_slices_and_into_a_region(tmp_path, study):
    volume = dicom.read_series(study)
    labels = ball((12, 10, 8), volume.affine, middle(volume), 2.5)
    subject = study.parent
    write_segmentation(subject / "rois" / "any name", study, labels, ("Patella",))
    fine = volume.resliced(np.repeat(volume.array, 2, axis=2), 2)
    inside = regions.regions(subject, fine, ["patella"])["patella"]
    np.testing.assert_array_equal(inside[:, :, ::2], labels > 0)
    assert scans.read_scan(subject).array.shape == (12, 10, 8, 2)


def test_a_folder_without_a_dicom_seg_is_refused(study):
    pytest.importorskip("highdicom")
    (study / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="one DICOM SEG or NIfTI label map, found 0"):
        rois.read_labels(study, blank())


def test_the_error_names_the_package_that_a_dicom_seg_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(InputError, match="pip install highdicom"):
        rois.read_labels(tmp_path / "rois.dcm", blank())


def test_a_damaged_dicom_seg_is_refused_by_name(tmp_path, study):
    path = write_segmentation(tmp_path / "rois.dcm", study, np.ones((12, 10, 8), np.uint8), "a")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"rois\.dcm"):
        rois.read_labels(path, dicom.read_series(study))


# SKM-TEA


def test_the_labels_of_an_skm_tea_file_are_its_tissues(tmp_path):
    one_hot = np.zeros((6, 5, 4, 6), np.uint8)
    one_hot[1, 1, 1, 0] = one_hot[2, 2, 2, 5] = 1
    with h5py.File(tmp_path / "MTR_001.h5", "w") as file:
        file["echo1"] = file["echo2"] = make_array()[..., 0]
        file["seg"] = one_hot
    path = tmp_path / "MTR_001.h5"
    found, names = rois.read_labels(rois.labels_path(path), skm_tea.read_skm_tea(path))
    assert {tuple(place): found[tuple(place)] for place in np.argwhere(found)} == {
        (1, 1, 1): 1,
        (2, 2, 2): 6,
    }
    assert (names["patellar_cartilage"], names["lateral_meniscus"]) == (1, 6)


def test_skm_teas_masks_are_found_beside_its_dicom_and_named(tmp_path):
    study = write_study(tmp_path / "dicoms" / "MTR_001", make_array())
    volume = dicom.read_series(study)
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2:4, 1:3, 2] = 2
    masks = tmp_path / "segmentation_masks" / "dicom-track"
    masks.mkdir(parents=True)
    nifti.write_map(labels, volume, masks / "MTR_001.nii.gz")
    inside = regions.regions(study, volume, ["femoral_cartilage"])["femoral_cartilage"]
    np.testing.assert_array_equal(inside, labels == 2)
