"""Labels of regions on any grid, resampled to that of a scan by position, never by index.

They are a NIfTI label map with a JSON of names ({name: label}) beside it, a DICOM SEG, or part of
the SKM-TEA data set.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from absl import logging
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti, skm_tea
from mrsr_tf.io.archives import File, files_at, opened
from mrsr_tf.io.bids import read_sidecar
from mrsr_tf.io.dicom.files import is_dicom, quiet, readable
from mrsr_tf.volume import Volume

NAMES = ("rois.nii.gz", "rois.nii", "rois.dcm", "rois")
SKM_TEA_MASKS = Path("segmentation_masks", "dicom-track")
# Assigns a voxel midway between two labels to the higher one, whatever the rounding.
TIE = 1e-6
SEGMENTATIONS = "1.2.840.10008.5.1.4.1.1.66."  # .4 binary or fractional, .7 label map


def labels_path(subject: Path) -> Path | None:
    """The path of the labels of a subject; None without any.

    In the subject's folder it is rois.nii.gz, rois.nii, rois.dcm or a folder rois/ with a DICOM
    SEG; for SKM-TEA it is MTR_xxx.h5 itself, or segmentation_masks/dicom-track/MTR_xxx.nii.gz.
    """
    if skm_tea.SkmTea().matches(subject):
        return subject
    mask = subject.parent.parent / SKM_TEA_MASKS / f"{subject.name}.nii.gz"
    paths = [*(subject / name for name in NAMES), mask]
    return next((path for path in paths if path.exists()), None)


def read_labels(path: str | Path, volume: Volume) -> tuple[NDArray[np.int32], dict[str, int]]:
    """Reads the labels of a file on the grid of `volume`, and their names.

    Args:
        path: a NIfTI label map, a DICOM SEG (a file, or a folder or zip archive with it), or an
            SKM-TEA file.
        volume: the scan, with thick, fine or super-resolved slices.

    Returns:
        (rows, cols, slices) labels, and {name: label}, which is empty if nothing names them.

    Raises:
        InputError: the label map is missing or damaged, its labels are not integers, or none of
            them is in the scan.
    """
    path = Path(path)
    if nifti.is_nifti(path):
        labels, affine = nifti.read_placed(path)
        is_skm_tea = path.parent.parts[-2:] == SKM_TEA_MASKS.parts
        names = skm_tea.LABEL_NAMES if is_skm_tea else read_sidecar(path)
    elif skm_tea.SkmTea().matches(path):
        labels, affine = skm_tea.read_labels(path)
        names = skm_tea.LABEL_NAMES
    else:
        labels, affine, names = _read_segmentation(path)
    integers = np.asarray(labels).astype(np.int32, casting="unsafe")
    if not np.array_equal(integers, labels):
        raise InputError(f"expected labels that are integers, got others in {path}")
    on_grid = resampled(integers, affine, volume)
    _check_overlap(on_grid, volume.affine, integers, affine, path)
    return on_grid, names


def resampled(
    labels: NDArray[np.int32], affine: NDArray[np.float64], volume: Volume
) -> NDArray[np.int32]:
    """Labels on the grid of a scan: each voxel gets that of the nearest one by position.

    Args:
        labels: (i, j, k) in any axis order.
        affine: (i, j, k, 1) -> patient position in mm, LPS.
        volume: the scan.

    Returns:
        (rows, cols, slices), 0 outside of the labels' grid.
    """
    to_labels = np.linalg.inv(affine) @ volume.affine
    return ndimage.affine_transform(
        labels,
        to_labels[:3, :3],
        to_labels[:3, 3] + TIE,
        output_shape=volume.array.shape[:3],
        order=0,
        mode="grid-constant",  # a voxel extends half a voxel from its centre, at the border too
    )


def _check_overlap(
    on_grid: NDArray[np.int32],
    grid_affine: NDArray[np.float64],
    labels: NDArray[np.int32],
    affine: NDArray[np.float64],
    path: Path,
) -> None:
    """Raises if all labels are outside of the scan; warns if most are, by their volume."""
    drawn = np.count_nonzero(labels) * abs(np.linalg.det(affine))
    inside = np.count_nonzero(on_grid) * abs(np.linalg.det(grid_affine))
    if drawn and not inside:
        raise InputError(f"expected labels that lie in the scan, got all of them outside: {path}")
    if inside < drawn / 2:
        logging.warning("%.0f %% of the labels lie outside of the scan: %s",
                        100 * (1 - inside / drawn), path)  # fmt: skip


@quiet()
def _read_segmentation(path: Path) -> tuple[NDArray[Any], NDArray[np.float64], dict[str, int]]:
    """Labels in the order of highdicom (slices, rows, columns), their affine and names."""
    try:
        import highdicom
    except ImportError:
        raise InputError(
            f"expected highdicom to read a DICOM SEG, which `pip install highdicom` gives: {path}"
        ) from None

    if not path.exists():
        raise InputError(f"expected a label map, found nothing at {path}")
    files = [file for file in files_at(path) if _is_segmentation(file)]
    if len(files) != 1:
        raise InputError(f"expected one DICOM SEG or NIfTI label map, found {len(files)}: {path}")
    with readable(files[0]), opened(files[0]) as stream:
        segmentation = highdicom.seg.segread(stream)
        numbers = segmentation.segment_numbers
        labels = [segmentation.get_segment_description(number).segment_label for number in numbers]
        names = {_region_name(label): number for label, number in zip(labels, numbers, strict=True)}
        if len(names) < len(numbers):
            raise InputError(f"expected segments of different names, got two of one in {path}")
        volume = segmentation.get_volume(combine_segments=True)
    return volume.array, volume.affine, names


def _is_segmentation(file: File) -> bool:
    with readable(file):
        if not is_dicom(file):
            return False
        with opened(file) as stream:
            meta = pydicom.dcmread(stream, specific_tags=[], stop_before_pixels=True).file_meta
    return str(meta.MediaStorageSOPClassUID).startswith(SEGMENTATIONS)


def _region_name(segment_label: object) -> str:
    """Such as femoral_cartilage for the segment "Femoral cartilage"."""
    return "_".join(str(segment_label).lower().split())
