"""The registry of formats of labels, and how the labels of a subject are found and read.

A new format is one class that implements `LabelFormat`, and one entry in `FORMATS`.
"""

from pathlib import Path
from textwrap import shorten
from typing import ClassVar, Protocol

from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.io.labels.dicom_seg import DicomSeg
from mrsr_tf.io.labels.label_map import LabelMap
from mrsr_tf.io.labels.nifti_labels import NiftiLabels
from mrsr_tf.io.labels.nrrd_labels import NrrdLabels
from mrsr_tf.io.labels.skm_tea_labels import SkmTeaLabels, SkmTeaMask, mask_path
from mrsr_tf.io.skm_tea import SkmTea
from mrsr_tf.volume import Volume

NAME = "rois"


class LabelFormat(Protocol):
    """How labels of a format are recognised and read.

    Attributes:
        endings: how its names end after "rois" in a subject's folder.
    """

    endings: ClassVar[tuple[str, ...]]

    def matches(self, path: Path) -> bool:
        """Whether the labels at `path` are of this format."""

    def read(self, path: Path) -> LabelMap:
        """Reads the labels on their own grid, or raises an `InputError` that names the file."""


# The first that matches reads the labels. DICOM is last: it matches any path.
FORMATS: tuple[LabelFormat, ...] = (
    SkmTeaMask(),
    SkmTeaLabels(),
    NiftiLabels(),
    NrrdLabels(),
    DicomSeg(),
)


def labels_path(subject: Path) -> Path | None:
    """The path of the labels of a subject; None without any.

    In the subject's folder it is rois.nii.gz, rois.seg.nrrd, rois.dcm or a folder rois/ with a
    DICOM SEG; for SKM-TEA it is MTR_xxx.h5 itself, or the mask of that name.

    Raises:
        InputError: there are several.
    """
    if SkmTea().matches(subject):
        return subject
    names = {NAME + ending for label_format in FORMATS for ending in label_format.endings}
    entries = sorted(subject.iterdir()) if subject.is_dir() else []
    paths = [entry for entry in entries if entry.name.lower() in names]
    if len(paths) > 1:
        files = " and ".join(path.name for path in paths)
        raise InputError(f"expected one file of regions, got {files} in {subject}")
    if mask_path(subject).exists():
        paths.append(mask_path(subject))
    return next(iter(paths), None)


def read_labels(path: str | Path, volume: Volume) -> LabelMap:
    """Reads the labels of a file on the grid of `volume`, placed by position, never by index.

    Args:
        path: a NIfTI or NRRD label map, a segmentation of 3D Slicer, a DICOM SEG (a file, or a
            folder or zip archive with it), or an SKM-TEA file.
        volume: the scan, with thick, fine or super-resolved slices.

    Returns:
        Layers of (rows, cols, slices), and the names of their labels.

    Raises:
        InputError: the file is missing or damaged; its labels are not integers from 0 on, or none
            of them is in the scan; or names contradict each other or name none of the labels.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected a label map, found nothing at {path}")
    label_format = next(each for each in FORMATS if each.matches(path))
    label_map = label_format.read(path)
    _check_names(label_map, path)
    on_grid = label_map.on_grid(volume)
    _check_inside(on_grid.drawn_mm3, label_map.drawn_mm3, path)
    return on_grid


def _check_names(label_map: LabelMap, path: Path) -> None:
    labels, names = label_map.labels, label_map.names
    if not labels:
        raise InputError(f"expected at least one label, found only background in {path}")
    if names and not {*names.values()} & {*labels}:
        values = ", ".join(str(label.value) for label in labels)
        table = shorten(", ".join(f"{name} ({label.value})" for name, label in names.items()), 300)
        raise InputError(f"expected names of the labels {values}, got {table} for {path}")


def _check_inside(inside_mm3: float, drawn_mm3: float, path: Path) -> None:
    """Raises if all labels are outside of the scan; warns if most are."""
    if not inside_mm3:
        raise InputError(f"expected labels that lie in the scan, got all of them outside: {path}")
    if inside_mm3 < drawn_mm3 / 2:
        logging.warning("%.0f %% of the labels lie outside of the scan: %s",
                        100 * (1 - inside_mm3 / drawn_mm3), path)  # fmt: skip
