"""NRRD label maps and the segmentations of 3D Slicer."""

import numpy as np
import pytest
from dicom_studies import SAGITTAL
from label_maps import RAS_LPS, blank, two_boxes, write_nrrd

from eval.regions import rois
from mrsr_tf.errors import InputError
from mrsr_tf.io.labels import Label, read_labels

SEGMENTS = (
    {"Name": "Femoral cartilage", "LabelValue": 1, "Layer": 0},
    {"Name": "Patella", "LabelValue": 2, "Layer": 0},
)
NAMES = {"femoral_cartilage": Label(0, 1), "patella": Label(0, 2)}


@pytest.mark.parametrize(
    ("space", "to_space"),
    [
        ("left-posterior-superior", np.eye(4)),
        ("RAS", RAS_LPS),
        ("left-anterior-superior", np.diag([1.0, -1, 1, 1])),
    ],
)
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_segmentation_of_any_space_lands_on_the_scan(tmp_path, space, to_space, encoding):
    path = tmp_path / "rois.seg.nrrd"
    write_nrrd(path, two_boxes(), SEGMENTS, to_space @ SAGITTAL, space=space, encoding=encoding)
    label_map = read_labels(path, blank())
    np.testing.assert_array_equal(label_map.layers, [two_boxes()])
    assert label_map.names == NAMES


def test_a_segmentation_cropped_to_its_segments_lands_where_it_was_cropped(tmp_path):
    affine = SAGITTAL.copy()
    affine[:3, 3] = (SAGITTAL @ [2, 2, 2, 1])[:3]
    path = write_nrrd(tmp_path / "rois.seg.nrrd", two_boxes()[2:10, 2:7, 2:7], SEGMENTS, affine)
    np.testing.assert_array_equal(read_labels(path, blank()).layers, [two_boxes()])


def test_segments_that_overlap_are_regions_that_overlap(tmp_path):
    layers = np.stack([two_boxes(), two_boxes()[::-1] // 2])
    assert (layers[0].astype(bool) & layers[1]).any()
    lesion = {"Name": "Lesion", "LabelValue": 1, "Layer": 1}
    write_nrrd(tmp_path / "rois.seg.nrrd", layers, (*SEGMENTS, lesion))
    names = ["femoral_cartilage", "patella", "lesion"]
    masks = [*rois.regions(tmp_path, blank(), names).values()]
    np.testing.assert_array_equal(masks, [layers[0] == 1, layers[0] == 2, layers[1] == 1])


def test_segments_without_a_value_and_layer_are_in_layers_of_their_own(tmp_path):
    layers = np.stack([two_boxes() == 1, two_boxes() == 2]).astype(np.uint8)
    names = [{"Name": segment["Name"]} for segment in SEGMENTS]
    label_map = read_labels(write_nrrd(tmp_path / "rois.seg.nrrd", layers, names), blank())
    np.testing.assert_array_equal(label_map.layers, layers)
    assert label_map.names == {"femoral_cartilage": Label(0, 1), "patella": Label(1, 1)}


def test_an_nrrd_without_segments_has_the_names_of_the_table_beside_it(tmp_path):
    path = write_nrrd(tmp_path / "rois.nrrd", two_boxes())
    (tmp_path / "rois_ColorTable.ctbl").write_text(
        "# Color table file rois_ColorTable.ctbl\n# 3 values\n0 Background 0 0 0 0\n"
        "1 Femoral_cartilage 216 101 79 255\n2 Patella 241 214 145 255\n"
    )
    assert read_labels(path, blank()).names == NAMES


@pytest.mark.parametrize(
    ("problem", "fields", "segments"),
    [
        ("space LPS, RAS or LAS, got 3d-right-handed", {"space": "3D-right-handed"}, SEGMENTS),
        ("expected mm", {"space units": ["cm"] * 3}, SEGMENTS),
        ("whole NRRD file", {"space directions": np.zeros((3, 3))}, SEGMENTS),
        ("got a fractional one", {"Segmentation_SourceRepresentation": "Fractional labelmap"}, ()),
        ("in its 1 layers, got another", {}, [{"Name": "a", "Layer": 1}]),
        ("got femoral_cartilage and patella", {}, [{**s, "LabelValue": 1} for s in SEGMENTS]),
        (r"labels 1, 2, got a \(7\)", {}, [{"Name": "a", "LabelValue": 7}]),
    ],
)
def test_a_segmentation_that_cannot_be_placed_or_named_is_refused(
    tmp_path, problem, fields, segments
):
    path = write_nrrd(tmp_path / "rois.seg.nrrd", two_boxes(), segments, **fields)
    with pytest.raises(InputError, match=rf"{problem}.*rois\.seg\.nrrd"):
        read_labels(path, blank())


def test_layers_without_segments_and_a_damaged_file_are_refused(tmp_path):
    path = write_nrrd(tmp_path / "rois.seg.nrrd", np.stack([two_boxes()] * 2))
    with pytest.raises(InputError, match="segments in 2 layers, found none"):
        read_labels(path, blank())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"whole NRRD file, got a \w+ in reading .*rois"):
        read_labels(path, blank())
