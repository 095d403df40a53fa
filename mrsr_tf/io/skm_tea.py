"""HDF5 files of the SKM-TEA data set: image_files/MTR_xxx.h5, with images extracted from DICOM.

A file has echo1 and echo2 (rows, cols, slices) and labels, but no geometry. That comes from
dicoms/MTR_xxx if it exists, else from the data set's description (DATASET.md and annotations of
SKM-TEA): voxels of 0.3125 x 0.3125 x 0.8 mm, rows to inferior, columns to posterior, slices to
the right; the slices were interpolated from 1.6 mm.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.nifti import NiftiDerived
from mrsr_tf.io.scan_format import Scan
from mrsr_tf.io.sidecar import acquisition, read_sidecar, sidecar_path
from mrsr_tf.volume import Volume

ECHOES, LABELS = ("echo1", "echo2"), "seg"
LABEL_NAMES = {
    "patellar_cartilage": 1,
    "femoral_cartilage": 2,
    "medial_tibial_cartilage": 3,
    "lateral_tibial_cartilage": 4,
    "medial_meniscus": 5,
    "lateral_meniscus": 6,
}
PUBLISHED_AFFINE = np.array(
    [[0, 0, -0.8, 0], [0, 0.3125, 0, 0], [-0.3125, 0, 0, 0], [0, 0, 0, 1]], float
)
PUBLISHED_THICKNESS_MM = 1.6


@dataclass(frozen=True)
class SkmTea(NiftiDerived):
    """An HDF5 file of the SKM-TEA data set."""

    endings = (".h5",)

    def matches(self, path: Path) -> bool:
        """Whether it is an HDF5 file that holds a first echo."""
        if path.suffix not in self.endings or not path.is_file():
            return False
        try:
            with _open(path) as file:
                return ECHOES[0] in file
        except InputError:
            return False

    def read(self, scan: Scan, slice_axis: int = 2) -> Volume:
        """Reads both echoes; the acquisition comes from the DICOM files, else from a sidecar."""
        return read_skm_tea(scan.path)

    def patient(self, scan: Scan) -> str | None:
        """The patient of the DICOM that the file was extracted from."""
        source = _dicom_of(scan.path)
        return None if source is None else dicom.read_patient(source)


def read_skm_tea(path: Path) -> Volume:
    """Reads both echoes; the acquisition comes from the DICOM files, else from a sidecar.

    Raises:
        InputError: the file is damaged, lacks an echo, or its DICOM holds other images.
    """
    with _open(path) as file:
        first, second = (_image(file, name, path) for name in ECHOES)
    if first.shape != second.shape:
        raise InputError(
            f"expected echoes of one matrix, got {first.shape} and {second.shape} in {path}"
        )
    array = np.stack([first, second], axis=3)
    source = _dicom_of(path)
    if source is not None:
        return _placed_as(dicom.read_series(source), array, path)
    logging.warning(
        "%s has no geometry; SKM-TEA's published 0.3125 x 0.3125 x 0.8 mm and left-to-right "
        "order of slices are assumed",
        path,
    )
    timing = acquisition(read_sidecar(path), sidecar_path(path), echoes=2)
    timing["slice_thickness_mm"] = timing["slice_thickness_mm"] or PUBLISHED_THICKNESS_MM
    return Volume(array, PUBLISHED_AFFINE, **timing)


def _dicom_of(path: Path) -> Path | None:
    """dicoms/MTR_xxx, from which image_files/MTR_xxx.h5 was extracted; None if it is missing."""
    source = path.absolute().parents[1] / "dicoms" / path.stem
    return source if source.is_dir() else None


def read_labels(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Reads the labels (rows, cols, slices), named by `LABEL_NAMES`, and their affine.

    Raises:
        InputError: the file holds no labels, or labels of other tissues.
    """
    with _open(path) as file:
        one_hot: NDArray[Any] = np.asarray(file[LABELS]) if LABELS in file else np.zeros(0)
    if one_hot.ndim != 4 or one_hot.shape[3] != len(LABEL_NAMES):
        raise InputError(
            f"expected {LABELS} of {len(LABEL_NAMES)} tissues, got {one_hot.shape} in {path}"
        )
    labels = np.zeros(one_hot.shape[:3], np.uint8)
    for number in LABEL_NAMES.values():
        labels[one_hot[..., number - 1] > 0] = number
    return labels, read_skm_tea(path).affine


def _placed_as(scanned: Volume, array: NDArray[np.float32], path: Path) -> Volume:
    """The images with the geometry of their DICOM; their slices may run the other way."""
    if array.shape != scanned.array.shape:
        raise InputError(
            f"expected the images of its DICOM, {scanned.array.shape}, got {array.shape} in {path}"
        )
    if np.array_equal(array[:, :, 0], scanned.array[:, :, 0]):
        return replace(scanned, array=array)
    if np.array_equal(array[:, :, -1], scanned.array[:, :, 0]):
        affine = scanned.affine @ np.diag([1, 1, -1, 1])
        affine[:3, 3] = (scanned.affine @ [0, 0, array.shape[2] - 1, 1])[:3]
        return replace(scanned, array=array, affine=affine)
    raise InputError(f"expected the images of its DICOM, got others in {path}")


def _image(file: Any, name: str, path: Path) -> NDArray[np.float32]:
    if name not in file or getattr(file[name], "ndim", 0) != 3:
        raise InputError(f"expected {name} of rows, columns and slices, found none in {path}")
    return np.asarray(file[name], np.float32)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    import h5py

    with refuse_damaged(path, "a whole HDF5 file"), h5py.File(path, "r") as file:
        yield file
