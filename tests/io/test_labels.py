"""Label maps: which values are labels, and where they are in the scan."""

import h5py
import numpy as np
import pytest
from dicom_studies import SAGITTAL, write_study
from hypothesis import given, settings
from hypothesis import strategies as st
from label_maps import ball, blank, middle, two_boxes, write_labels
from random_scans import make_array
from scipy.spatial.transform import Rotation

from eval.regions import rois
from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom, nifti, skm_tea
from mrsr_tf.io.labels import Label, LabelMap, labels_path, read_labels
from mrsr_tf.volume import Volume


def centroid(labels, affine):
    return (affine @ [*np.argwhere(labels).mean(0), 1])[:3]


def on_grid(labels, affine, volume):
    return LabelMap([labels.astype(np.int32)], affine, {}).on_grid(volume).layers[0]


def test_labels_on_the_scans_grid_come_back_as_they_are(tmp_path):
    volume = blank()
    nifti.write_map(two_boxes(), volume, tmp_path / "rois.nii.gz")
    (tmp_path / "rois.json").write_text('{"patella": 1}')
    label_map = read_labels(tmp_path / "rois.nii.gz", volume)
    np.testing.assert_array_equal(label_map.layers, [two_boxes()])
    assert label_map.names == {"patella": Label(0, 1)}


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
    resampled = on_grid(ball((41, 41, 41), affine, centre), affine, volume)
    expected = ball(volume.array.shape[:3], volume.affine, centre)
    np.testing.assert_allclose(centroid(resampled, volume.affine), centre, atol=0.15)
    overlap = 2 * np.sum(resampled * expected) / (resampled.sum() + expected.sum())
    assert overlap > 0.85


def test_each_voxel_has_the_label_of_the_nearest_by_position():
    labels = np.arange(1, 5).reshape(1, 1, 4)
    thick = np.diag([1.0, 1, 2, 1])
    fine = Volume(np.ones((1, 1, 12, 1)), np.diag([1, 1, 0.5, 1]))
    # Fine slice i is at thick slice i / 4; ties go up, the last thick slice extends by half.
    expected = [1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4]
    np.testing.assert_array_equal(on_grid(labels, thick, fine)[0, 0], expected)
    shifted = Volume(fine.array, fine.affine @ np.diag([1, 1, -1, 1]))
    np.testing.assert_array_equal(on_grid(labels, thick, shifted)[0, 0], [1, 1, 1] + [0] * 9)


def test_labels_outside_of_the_scan_are_refused_if_all_and_warned_of_if_most(tmp_path, caplog):
    volume = blank()
    away = SAGITTAL.copy()
    away[:3, 3] += 500
    path = write_labels(tmp_path / "rois.nii.gz", np.ones((4, 4, 4), np.uint8), away)
    with pytest.raises(InputError, match=r"labels that lie in the scan.*rois\.nii\.gz"):
        read_labels(path, volume)
    partly = SAGITTAL.copy()
    partly[:3, 3] = (SAGITTAL @ [9, 0, 0, 1])[:3]
    write_labels(path, np.ones((12, 10, 8), np.uint8), partly)
    read_labels(path, volume)
    assert "75 % of the labels lie outside" in caplog.text


@pytest.mark.parametrize("shape", [(12, 10, 8, 1), (12, 10, 8, 1, 1), (12, 10, 8, 1, 1, 1)])
def test_further_axes_of_one_element_are_dropped(tmp_path, shape):
    path = write_labels(tmp_path / "rois.nii.gz", two_boxes().reshape(shape))
    np.testing.assert_array_equal(read_labels(path, blank()).layers, [two_boxes()])


@pytest.mark.parametrize("slope", [0.01, 1 / 255, 0.1, 0.5])
def test_labels_are_the_values_that_the_header_scales(tmp_path, slope):
    stored = np.rint(two_boxes() / slope).astype(np.int16)
    path = write_labels(tmp_path / "rois.nii.gz", stored, slope=slope)
    np.testing.assert_array_equal(read_labels(path, blank()).layers, [two_boxes()])


def test_nan_is_background_of_which_a_warning_tells(tmp_path, caplog):
    values = two_boxes().astype(np.float32)
    values[values == 0] = np.nan
    path = write_labels(tmp_path / "rois.nii.gz", values)
    np.testing.assert_array_equal(read_labels(path, blank()).layers, [two_boxes()])
    assert f"{np.isnan(values).sum()} voxels of NaN count as background" in caplog.text


@pytest.mark.parametrize("value", [0.5, -1, 1.01, np.inf, 1e12])
def test_values_that_are_no_labels_are_refused(tmp_path, value):
    values = two_boxes().astype(np.float32)
    values[0, 0, 0] = value
    path = write_labels(tmp_path / "rois.nii", values)
    with pytest.raises(InputError, match=rf"integers from 0 on, got {value:g}".replace("+", ".")):
        read_labels(path, blank())


def test_a_map_of_several_volumes_an_empty_one_and_a_missing_one_are_refused(tmp_path):
    path = write_labels(tmp_path / "rois.nii", np.ones((3, 3, 3, 2), np.uint8))
    with pytest.raises(InputError, match=r"3-D label map, got shape \(3, 3, 3, 2\)"):
        read_labels(path, blank())
    write_labels(path, np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(InputError, match="at least one label, found only background"):
        read_labels(path, blank())
    for missing in ("x.nii", "x.dcm"):
        with pytest.raises(InputError, match="found nothing at"):
            read_labels(tmp_path / missing, blank())


@pytest.mark.parametrize("name", ["rois.nii.gz", "ROIS.nii", "rois.seg.nrrd", "rois.dcm", "rois"])
def test_the_labels_of_a_subject_are_found_by_their_name(tmp_path, name):
    (tmp_path / "image.nii.gz").touch()
    (tmp_path / "rois.json").touch()
    assert labels_path(tmp_path) is None
    (tmp_path / name).touch()
    assert labels_path(tmp_path) == tmp_path / name


def test_two_files_of_regions_are_refused(tmp_path):
    for name in ("rois.nii.gz", "rois.seg.nrrd"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"got rois\.nii\.gz and rois\.seg\.nrrd"):
        labels_path(tmp_path)


def test_a_region_is_the_labels_whose_names_start_with_its_words(tmp_path):
    labels = np.arange(1, 11, dtype=np.uint8).reshape(1, 1, 10)
    volume = blank((1, 1, 10))
    write_labels(tmp_path / "rois.nii", labels)
    lines = [f"{number} Segment {number} 0 0 0 255" for number in range(2, 11)]
    (tmp_path / "rois.ctbl").write_text("\n".join(["1 Segment_1_deep 0 0 0 255", *lines]))
    masks = rois.regions(tmp_path, volume, ["segment_1", "Segment 10", "segment"])
    voxels = {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}
    assert voxels == {"segment_1": [0], "Segment 10": [9], "segment": [*range(10)]}


# SKM-TEA


def test_the_labels_of_an_skm_tea_file_are_its_tissues(tmp_path):
    one_hot = np.zeros((6, 5, 4, 6), np.uint8)
    one_hot[1, 1, 1, 0] = one_hot[2, 2, 2, 5] = 1
    with h5py.File(tmp_path / "MTR_001.h5", "w") as file:
        file["echo1"] = file["echo2"] = make_array()[..., 0]
        file["seg"] = one_hot
    path = tmp_path / "MTR_001.h5"
    label_map = read_labels(labels_path(path), skm_tea.read_skm_tea(path))
    (labels,) = label_map.layers
    assert {tuple(place): labels[tuple(place)] for place in np.argwhere(labels)} == {
        (1, 1, 1): 1,
        (2, 2, 2): 6,
    }
    assert label_map.names["patellar_cartilage"] == Label(0, 1)
    assert label_map.names["lateral_meniscus"] == Label(0, 6)


def test_skm_teas_masks_are_found_beside_its_dicom_and_named(tmp_path):
    study = write_study(tmp_path / "dicoms" / "MTR_001", make_array())
    volume = dicom.read_series(study)
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2:4, 1:3, 2] = 2
    masks = tmp_path / "segmentation_masks" / "dicom-track"
    masks.mkdir(parents=True)
    nifti.write_map(labels, volume, masks / "MTR_001.nii.gz")
    inside = rois.regions(study, volume, ["femoral_cartilage"])["femoral_cartilage"]
    np.testing.assert_array_equal(inside, labels == 2)
