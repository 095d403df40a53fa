"""Label maps for tests: balls at places in the patient, and files of each format that hold them."""

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL

from mrsr_tf.volume import Volume

RAS_LPS = np.diag([-1.0, -1, 1, 1])
SHAPE = (12, 10, 8)


def blank(shape=SHAPE, affine=SAGITTAL) -> Volume:
    return Volume(np.ones((*shape, 1)), affine)


def two_boxes() -> np.ndarray:
    """(12, 10, 8), labels 1 and 2 in boxes of 60 and 24 voxels."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 2:7, 2:5], labels[7:10, 5:7, 3:7] = 1, 2
    return labels


def ball(shape, affine, centre, radius_mm=3.0) -> np.ndarray:
    """Labels of a ball around a position in the patient, on any grid."""
    index = np.stack([*np.indices(shape), np.ones(shape)])
    position = np.einsum("ij,j...->i...", affine, index)[:3]
    apart = position - np.reshape(centre, (3, 1, 1, 1))
    return (np.linalg.norm(apart, axis=0) <= radius_mm).astype(np.uint8)


def middle(volume: Volume) -> np.ndarray:
    return (volume.affine @ [*(np.array(volume.array.shape[:3]) - 1) / 2, 1])[:3]


def write_labels(path: Path, labels: np.ndarray, affine=SAGITTAL, slope=None) -> Path:
    """Writes a NIfTI in the axis order of `labels`, whose affine is to LPS."""
    image = nib.Nifti1Image(labels, RAS_LPS @ affine)
    if slope:
        image.header.set_slope_inter(slope, 0)
    nib.save(image, path)
    return path


def write_nrrd(path: Path, array, segments=(), affine=SAGITTAL, **fields) -> Path:
    """Writes an NRRD; of a 4-D array the first axis counts layers.

    `segments` are {"Name": ..., "LabelValue": ..., "Layer": ...}, as 3D Slicer writes them.
    """
    directions = affine[:3, :3].T
    if array.ndim == 4:
        directions = np.vstack([np.full(3, np.nan), directions])
    header = {
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": affine[:3, 3],
        "kinds": ["list"] * (array.ndim - 3) + ["domain"] * 3,
        **fields,
    }
    for number, segment in enumerate(segments):
        header[f"Segment{number}_ID"] = f"Segment_{number + 1}"
        header |= {f"Segment{number}_{key}": str(value) for key, value in segment.items()}
    nrrd.write(str(path), array, header)
    return path


def write_segmentation(
    path: Path, study: Path, labels, names=("Femoral cartilage", "Patella"), kind="BINARY"
) -> Path:
    """Writes a DICOM SEG of echo 1 of a study: labels (rows, cols, slices), or a mask of each."""
    highdicom = pytest.importorskip("highdicom")
    from pydicom.sr.codedict import codes

    descriptions = [
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
        source_images=[pydicom.dcmread(file) for file in sorted(study.glob("*echo1*"))],
        pixel_array=np.moveaxis(labels, 2, 0),
        segmentation_type=kind,
        segment_descriptions=descriptions,
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
