"""The axes and the affine of a NIfTI image in terms of those of a `Volume`."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io.bids import sidecar_path

COARSER = 1.5
GRID_TOLERANCE_MM = 0.01
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from one to the other, either way
MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
PLAUSIBLE_MM = (0.02, 20)


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
