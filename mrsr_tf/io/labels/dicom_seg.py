"""DICOM SEG: binary, fractional (a voxel is inside from .5 on) and label maps; segments overlap."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pydicom
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File, files_at, opened
from mrsr_tf.io.dicom.encoding import is_dicom
from mrsr_tf.io.dicom.files import quiet, readable
from mrsr_tf.io.dicom.highdicom_package import check_highdicom
from mrsr_tf.io.labels.label_map import LabelMap, stack
from mrsr_tf.io.labels.names import named

CLASSES = "1.2.840.10008.5.1.4.1.1.66."  # .4 binary or fractional, .7 label map
INSIDE = 0.5  # the least probability, or part of the voxel


@dataclass(frozen=True)
class DicomSeg:
    """A DICOM SEG: a file, or the only one in a folder or zip archive."""

    endings: ClassVar[tuple[str, ...]] = (".dcm", "")

    def matches(self, path: Path) -> bool:
        """Always: DICOM has no endings of its own, and refuses what it cannot read."""
        return True

    @quiet()
    def read(self, path: Path) -> LabelMap:
        """Reads each segment with highdicom, in the axis order (slices, rows, columns)."""
        check_highdicom(f"to read a DICOM SEG: {path}")
        files = [file for file in files_at(path) if _is_segmentation(file)]
        if len(files) != 1:
            raise InputError(
                f"expected one DICOM SEG or another label map, found {len(files)}: {path}"
            )
        return _read_file(files[0], path)


def _read_file(file: File, path: Path) -> LabelMap:
    import highdicom

    with readable(file), opened(file) as stream:
        segmentation = highdicom.seg.segread(stream)
        numbers = segmentation.segment_numbers
        names = [segmentation.get_segment_description(number).segment_label for number in numbers]
        geometry = segmentation.get_volume_geometry()
        if geometry is None:
            raise InputError(f"expected evenly spaced parallel slices, got others in {path}")
        layers, labels = stack(_masks(segmentation))
    return LabelMap(layers, geometry.affine, named(zip(names, labels, strict=True), path))


def _masks(segmentation: Any) -> Iterator[NDArray[Any]]:
    """(slices, rows, cols) of each segment, one in memory at a time."""
    for number in segmentation.segment_numbers:
        yield segmentation.get_volume(segment_numbers=[number]).array[..., 0] >= INSIDE


def _is_segmentation(file: File) -> bool:
    with readable(file):
        if not is_dicom(file):
            return False
        with opened(file) as stream:
            meta = pydicom.dcmread(stream, specific_tags=[], stop_before_pixels=True).file_meta
    return str(meta.MediaStorageSOPClassUID).startswith(CLASSES)
