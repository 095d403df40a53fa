"""A NIfTI file: loaded with all checks, saved whole; its axes and affine as a `Volume` has them."""

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf import outputs
from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import LARGEST_BYTES, LARGEST_RATIO
from mrsr_tf.io.bids import sidecar_path
from mrsr_tf.io.damage import refuse_damaged

WHOLE = "a whole NIfTI file"
BLOCK = 2**22
# Label maps of up to this size, nearly all zeros, compress as well as a decompression bomb.
HARMLESS_BYTES = 2**31
COARSER = 1.5
GRID_TOLERANCE_MM = 0.01
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from one to the other, either way
MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
PLAUSIBLE_MM = (0.02, 20)


def load(path: Path) -> nib.Nifti1Image:
    """The image, whose voxels are not read yet.

    Raises:
        InputError: the file is missing, damaged, a decompression bomb, or not of real numbers.
    """
    if not path.exists():
        raise InputError(f"expected a NIfTI file, found nothing at {path}")
    with refuse_damaged(path, WHOLE):
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image) or image.get_data_dtype().kind not in "iuf":
            raise InputError(f"expected a NIfTI of real numbers, got another image: {path}")
        if path.suffix == ".gz":
            _check_whole(path, image)
    return image


def stored_values(image: nib.Nifti1Image, path: Path) -> NDArray[Any]:
    """The voxels in the type of the file, scaled as its header says."""
    with refuse_damaged(path, WHOLE):
        return np.asanyarray(image.dataobj)


def save(array: NDArray[Any], affine: NDArray[np.float64], path: Path, slice_axis: int) -> None:
    """Saves (rows, cols, slices[, echoes]) and its affine to LPS; the file appears once whole."""
    order = np.argsort([*axes(slice_axis), 3])
    image = nib.Nifti1Image(array.transpose(order[: array.ndim]), (RAS_LPS @ affine)[:, order])
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    with outputs.output_file(path) as partial:
        nib.save(image, partial)


def axes(slice_axis: int) -> list[int]:
    """The axes of the file that count rows, columns and slices."""
    columns, rows = (axis for axis in range(3) if axis != slice_axis)
    return [rows, columns, slice_axis]


def to_rows(data: NDArray[Any], slice_axis: int) -> NDArray[Any]:
    """The data of a file, (columns, rows, slices[, echoes]), in the axis order of a volume."""
    return data.transpose(*axes(slice_axis), *range(3, data.ndim))


def to_lps(image: nib.Nifti1Image, slice_axis: int) -> NDArray[np.float64]:
    """The affine (row, col, slice, 1) -> mm, LPS."""
    return lps(image)[:, [*axes(slice_axis), 3]]


def lps(image: nib.Nifti1Image) -> NDArray[np.float64]:
    """The affine from the file's own three axes to mm, LPS."""
    unit = MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
    return RAS_LPS @ np.diag([unit, unit, unit, 1.0]) @ image.affine


def check_slice_axis(
    image: nib.Nifti1Image, path: Path, recorded: int | None, slice_axis: int
) -> None:
    """Raises if the sidecar has another SliceAxis or, without one, another axis is coarser."""
    if slice_axis not in (0, 1, 2):
        raise InputError(f"expected --slice_axis 0, 1 or 2, got {slice_axis}")
    if recorded not in (None, slice_axis):
        raise InputError(
            f"expected --slice_axis={recorded}, as the sidecar of {path} says, got {slice_axis}"
        )
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    coarsest = int(np.argmax(spacing))
    if recorded is None and spacing[coarsest] > COARSER * spacing[slice_axis]:
        raise InputError(
            f"expected slices along axis {slice_axis} ({spacing[slice_axis]:.3g} mm), but axis "
            f"{coarsest} is coarser ({spacing[coarsest]:.3g} mm) in {path}: --slice_axis="
            f'{coarsest} says it is meant, "SliceAxis": {slice_axis} in {sidecar_path(path).name} '
            "that it is not"
        )


def check_unit(image: nib.Nifti1Image, path: Path) -> None:
    """Warns if the file names no unit of length; raises if its spacings cannot be mm."""
    if image.header.get_xyzt_units()[0] != "unknown":
        return
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    if not (PLAUSIBLE_MM[0] <= spacing.min() and spacing.max() <= PLAUSIBLE_MM[1]):
        raise InputError(
            f"expected a NIfTI that names its unit of length, got none, and spacings of "
            f"{np.array2string(spacing, precision=4)} that cannot be mm, in {path}"
        )
    logging.warning("%s names no unit of length: it is read as mm", path)


def same_place(
    affine: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]
) -> bool:
    """Whether two grids of one shape coincide, at their farthest corners too."""
    corners = np.vstack([np.zeros(3), np.diag(shape)])
    distances = (affine - other) @ np.vstack([corners.T, np.ones(4)])
    return bool(np.abs(distances).max() <= GRID_TOLERANCE_MM)


def _check_whole(path: Path, image: nib.Nifti1Image) -> None:
    """Reads a compressed file to its end, where the checksum is: nibabel stops before.

    Raises `InputError` for a decompression bomb, before its image is in memory.
    """
    voxel_bytes = math.prod(map(int, image.shape)) * image.get_data_dtype().itemsize
    size, compressed = image.header.get_data_offset() + voxel_bytes, path.stat().st_size
    if size > LARGEST_BYTES or (size > HARMLESS_BYTES and size > LARGEST_RATIO * compressed):
        raise InputError(
            f"expected the NIfTI of one scan, got {size / 2**30:.1f} GiB in "
            f"{compressed / 2**20:.1f} MiB: {path}"
        )
    with gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            size -= len(block)
            if size < -BLOCK:
                raise InputError(f"expected a NIfTI as large as its header tells, got more: {path}")
