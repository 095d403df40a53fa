"""DICOM SEG as labels."""

import numpy as np
import pytest
from dicom_studies import write_study
from label_maps import ball, blank, middle, two_boxes, write_segmentation
from random_scans import make_array

from eval.regions import rois
from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom, scans
from mrsr_tf.io.labels import Label, read_labels
from mrsr_tf.io.nifti import write_nifti


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "knee" / "dicom", make_array((12, 10, 8)))


@pytest.mark.parametrize("drawn", [slice(None), slice(3, 4), slice(2, 7, 2)])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_dicom_seg_lands_on_its_scan_whichever_slices_were_drawn(tmp_path, study, drawn, kind):
    labels = np.zeros((12, 10, 8), np.uint8)
    labels[3:6, 4:9, drawn], labels[8:10, 1:3, drawn] = 1, 2
    path = write_segmentation(tmp_path / "rois.dcm", study, labels, kind=kind)
    label_map = read_labels(path, dicom.read_series(study))
    np.testing.assert_array_equal(label_map.layers, [labels])
    assert label_map.names == {"femoral_cartilage": Label(0, 1), "patella": Label(0, 2)}


def test_segments_that_overlap_are_regions_that_overlap(study):
    masks = np.zeros((12, 10, 8, 3), np.uint8)
    masks[2:8, 2:8, 2:5, 0] = masks[4:10, 4:9, 3:6, 1] = masks[0:2, :, :, 2] = 1
    names = ("Cartilage", "Lesion", "Bone")
    write_segmentation(study.parent / "rois.dcm", study, masks, names)
    regions = rois.regions(study.parent, dicom.read_series(study), ["lesion", "cartilage", "bone"])
    for name, mask in zip(("cartilage", "lesion", "bone"), np.moveaxis(masks, 3, 0), strict=True):
        np.testing.assert_array_equal(regions[name], mask)


def test_a_voxel_is_inside_from_a_probability_of_one_half(tmp_path, study):
    likely, unlikely = two_boxes() == 1, two_boxes() == 2
    fractions = np.stack([0.7 * likely + 0.3 * unlikely, 0.6 * unlikely], axis=3)
    path = write_segmentation(tmp_path / "rois.dcm", study, fractions, kind="FRACTIONAL")
    label_map = read_labels(path, dicom.read_series(study))
    np.testing.assert_array_equal(label_map.layers, [two_boxes()])


def test_a_dicom_seg_follows_the_scan_to_finer_slices_and_into_a_region(study):
    volume = dicom.read_series(study)
    labels = ball((12, 10, 8), volume.affine, middle(volume), 2.5)
    subject = study.parent
    write_segmentation(subject / "rois" / "any name", study, labels, ("Patella",))
    fine = volume.resliced(np.repeat(volume.array, 2, axis=2), 2)
    inside = rois.regions(subject, fine, ["patella"])["patella"]
    np.testing.assert_array_equal(inside[:, :, ::2], labels > 0)
    assert scans.read_scan(subject).array.shape == (12, 10, 8, 2)


def test_a_dicom_seg_beside_a_nifti_is_not_the_scan(tmp_path, study):
    write_nifti(dicom.read_series(study), tmp_path / "knee.nii.gz")
    write_segmentation(tmp_path / "subject" / "rois.dcm", study, two_boxes())
    image = (tmp_path / "knee.nii.gz").rename(tmp_path / "subject" / "knee.nii.gz")
    assert scans.find_scan(tmp_path / "subject").path == image


def test_two_segments_of_one_name_are_refused(tmp_path, study):
    path = write_segmentation(tmp_path / "rois.dcm", study, two_boxes(), ("Patella", "patella "))
    with pytest.raises(InputError, match="one label for each name, got two for patella"):
        read_labels(path, dicom.read_series(study))


def test_a_folder_without_a_dicom_seg_is_refused(study):
    pytest.importorskip("highdicom")
    (study / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="one DICOM SEG or another label map, found 0"):
        read_labels(study, blank())


def test_the_error_names_the_package_that_a_dicom_seg_needs(study, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(InputError, match="pip install highdicom"):
        read_labels(study, blank())


def test_a_damaged_dicom_seg_is_refused_by_name(tmp_path, study):
    path = write_segmentation(tmp_path / "rois.dcm", study, np.ones((12, 10, 8), np.uint8), "a")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"rois\.dcm"):
        read_labels(path, dicom.read_series(study))
