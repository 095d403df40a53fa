"""Scans as the SKM-TEA data set has them: image_files/MTR_xxx.h5, its images extracted from DICOM.

The file has echo1 and echo2 (rows, cols, slices) and labels, and tells no geometry. That comes
from dicoms/MTR_xxx where it lies beside, else from the data set's description (DATASET.md and
annotations of SKM-TEA): voxels of 0.3125 x 0.3125 x 0.8 mm, rows to inferior, columns to
posterior, slices to the right; the slices were interpolated from 1.6 mm.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom
from mrsr_tf.io.sidecar import acquisition, read_sidecar, sidecar_path
from mrsr_tf.volume import Volume

ENDING = ".h5"
ECHOES, LABELS = ("echo1", "echo2"), "seg"
# Of each label, in the order of the data set's masks: label 1 first.
TISSUES = (
    "patellar_cartilage",
    "femoral_cartilage",
    "medial_tibial_cartilage",
    "lateral_tibial_cartilage",
    "medial_meniscus",
    "lateral_meniscus",
)
PUBLISHED_AFFINE = np.array(
    [[0, 0, -0.8, 0], [0, 0.3125, 0, 0], [-0.3125, 0, 0, 0], [0, 0, 0, 1]], float
)
PUBLISHED_THICKNESS_MM = 1.6

Result = TypeVar("Result")


def is_scan(path: Path) -> bool:
    """Whether the file is named as HDF5 and holds a first echo."""
    if path.suffix != ENDING or not path.is_file():
        return False
    try:
        return _read(path, lambda file: ECHOES[0] in file)
    except InputError:
        return False


def read_scan(path: str | Path) -> Volume:
    """Reads both echoes; echo times and the like come from the DICOM beside, or a sidecar.

    Raises:
        InputError: the file is damaged or holds no two echoes of one shape.
    """
    path = Path(path)
    echoes = _read(path, lambda file: [_image(file, name, path) for name in ECHOES])
    if echoes[0].shape != echoes[1].shape:
        raise InputError(
            f"expected echoes of one matrix, got {echoes[0].shape} and {echoes[1].shape} in {path}"
        )
    array = np.stack(echoes, axis=3)
    beside = dicom_beside(path)
    if beside is not None:
        return _as_in_dicom(array, dicom.read_series(beside), path)
    logging.warning(
        "%s tells no geometry: SKM-TEA's published 0.3125 x 0.3125 x 0.8 mm and left-to-right "
        "order of slices are taken",
        path,
    )
    told = acquisition(read_sidecar(path), sidecar_path(path), echoes=2)
    told["slice_thickness_mm"] = told["slice_thickness_mm"] or PUBLISHED_THICKNESS_MM
    return Volume(array, PUBLISHED_AFFINE, **told)


def dicom_beside(path: Path) -> Path | None:
    """dicoms/MTR_xxx, from which image_files/MTR_xxx.h5 was extracted; None where it is not."""
    beside = path.absolute().parents[1] / "dicoms" / path.stem
    return beside if beside.is_dir() else None


def read_labels(path: str | Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(rows, cols, slices) labels, 1 + the place in `TISSUES` and 0 elsewhere, and their affine.

    Raises:
        InputError: the file holds no labels, or of other tissues.
    """
    path = Path(path)
    one_hot = _read(path, lambda file: np.asarray(file[LABELS]) if LABELS in file else np.zeros(0))
    if one_hot.ndim != 4 or one_hot.shape[3] != len(TISSUES):
        raise InputError(
            f"expected {LABELS} of {len(TISSUES)} tissues, got {one_hot.shape} in {path}"
        )
    labels = np.zeros(one_hot.shape[:3], np.uint8)
    for number in range(len(TISSUES)):
        labels[one_hot[..., number] > 0] = number + 1
    return labels, read_scan(path).affine


def _as_in_dicom(array: NDArray[np.float32], scanned: Volume, path: Path) -> Volume:
    """The scan where its DICOM says it lies; its slices may run the other way."""
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


def _read(path: Path, read: Callable[[Any], Result]) -> Result:
    """`read(file)`; whatever a damaged file makes HDF5 raise becomes an `InputError`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return read(file)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"expected a whole HDF5 file, got a {type(error).__name__} in reading {path}"
        ) from error
