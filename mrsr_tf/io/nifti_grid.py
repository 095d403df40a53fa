"""The grid of a NIfTI image: its axes in the order of a `Volume`, and its place in the patient.

A file may state its place twice: as a rotation (qform), which cannot shear, and as any affine
(sform), which counts if both are there. Grids agree if no voxel is more than a tenth of a voxel
away.
"""

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.sidecar import sidecar_path

AXES = ("first", "second", "third")
COARSER = 1.5
TOLERANCE_VOXELS = 0.1
SAME_SPACING = 0.01
# Of the volume of a voxel, by its volume with axes at right angles: a shear by up to 60 degrees.
SMALLEST_UPRIGHT = 0.5
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from one to the other, either way
# By the lowest three bits of xyzt_units.
MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
PLAUSIBLE_MM, FARTHEST_MM = (0.02, 20), 1e4

Affine = NDArray[np.float64]


def axes(slice_axis: int) -> list[int]:
    """The axes of the file that count rows, columns and slices."""
    columns, rows = (axis for axis in range(3) if axis != slice_axis)
    return [rows, columns, slice_axis]


def to_rows(data: NDArray[Any], slice_axis: int) -> NDArray[Any]:
    """The data of a file, (columns, rows, slices[, echoes]), in the axis order of a volume."""
    return data.transpose(*axes(slice_axis), *range(3, data.ndim))


def in_rows(affine: Affine, slice_axis: int) -> Affine:
    """An affine from the axes of a file in the axis order of a volume, (row, col, slice, 1)."""
    return affine[:, [*axes(slice_axis), 3]]


def lps(image: nib.Nifti1Pair, path: Path) -> Affine:
    """The affine from the file's own three axes to mm, LPS.

    Warns if the place is unknown, if it differs between qform and sform of different meaning, or
    if the axes are not at right angles.

    Raises:
        InputError: the unit is unknown to NIfTI, the spacings are those of no scan, the axes lie
            nearly in a plane, or qform and sform of one meaning differ.
    """
    affine = image.affine.copy()
    affine[:3] *= _mm_per_unit(image, path)
    _check_spacing(image, affine, path)
    with refuse_damaged(path, "a NIfTI with a valid qform"):
        _check_place(image, path)
    return RAS_LPS @ affine


def check_unit(image: nib.Nifti1Pair, path: Path) -> None:
    """Warns if the file names no unit of length."""
    if _unit(image) == 0:
        logging.warning("%s names no unit of length: it is read as mm", path)


def check_slice_axis(
    affine: Affine, path: Path, sidecar: Mapping[str, Any], slice_axis: int
) -> None:
    """Raises if the image or its sidecar shows that another axis counts slices.

    That is SliceAxis in the sidecar; without it SpacingBetweenSlices that only another axis has,
    or an axis that is clearly coarser. `affine` is from the file's own axes to mm.
    """
    if slice_axis not in (0, 1, 2):
        raise InputError(f"expected --slice_axis 0, 1 or 2, got {slice_axis}")
    recorded = sidecar.get("SliceAxis", slice_axis)
    if recorded != slice_axis:
        raise InputError(
            f"expected --slice_axis={recorded}, as the sidecar of {path} says, got {slice_axis}"
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    likely = _likely_slice_axis(spacing, sidecar, slice_axis)
    if likely != slice_axis and "SliceAxis" not in sidecar:
        named = AXES[slice_axis]
        raise InputError(
            f"expected slices along the {named} axis ({spacing[slice_axis]:.3g} mm), got an image "
            f"whose {AXES[likely]} axis looks like theirs ({spacing[likely]:.3g} mm): {path}; "
            f'--slice_axis={likely} reads it so, "SliceAxis": {slice_axis} in '
            f"{sidecar_path(path).name} says that it is the {named}"
        )


def same_grid(affine: Affine, other: Affine, shape: tuple[int, ...]) -> bool:
    """Whether two grids of one shape agree, also at their corners."""
    return bool(_distance_voxels(affine, other, shape) <= TOLERANCE_VOXELS)


def nearest_qform(affine: Affine) -> Affine:
    """What remains of an affine in a qform: its place and spacings without shear."""
    header = nib.Nifti1Header()
    header.set_qform(affine, code=1, strip_shears=True)
    return header.get_qform()


def _likely_slice_axis(spacing: NDArray[Any], sidecar: Mapping[str, Any], named: int) -> int:
    recorded = sidecar.get("SpacingBetweenSlices", math.nan)
    (alike,) = np.nonzero(np.abs(spacing - recorded) <= SAME_SPACING * recorded)
    if len(alike) == 1:
        return int(alike[0])
    coarsest = int(np.argmax(spacing))
    return coarsest if spacing[coarsest] > COARSER * spacing[named] else named


def _unit(image: nib.Nifti1Pair) -> int:
    return int(image.header["xyzt_units"]) & 7


def _mm_per_unit(image: nib.Nifti1Pair, path: Path) -> float:
    unit = _unit(image)
    if unit not in MM_PER_UNIT:
        raise InputError(
            f"expected a NIfTI whose unit of length is m, mm or um, got code {unit} in {path}"
        )
    return MM_PER_UNIT[unit]


def _check_spacing(image: nib.Nifti1Pair, affine: Affine, path: Path) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (
        np.isfinite(affine).all()
        and PLAUSIBLE_MM[0] <= spacing.min()
        and spacing.max() <= PLAUSIBLE_MM[1]
    ):
        unit = "" if _unit(image) else " if they are mm, as no unit is named"
        raise InputError(
            f"expected spacings of {PLAUSIBLE_MM[0]:g} to {PLAUSIBLE_MM[1]:g} mm, got "
            f"{' x '.join(f'{value:.4g}' for value in spacing)}{unit}, in {path}"
        )
    if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        raise InputError(
            f"expected an image at most {FARTHEST_MM:g} mm from the origin, got one that begins "
            f"at {np.array2string(affine[:3, 3], precision=4)} mm in {path}"
        )
    if abs(np.linalg.det(affine)) < SMALLEST_UPRIGHT * spacing.prod():
        raise InputError(f"expected three axes at right angles, got others in {path}")


def _check_place(image: nib.Nifti1Pair, path: Path) -> None:
    header, shape = image.header, image.shape[:3]
    codes = [int(header[f"{name}form_code"]) for name in "qs"]
    upright = nearest_qform(image.affine)
    sheared = _distance_voxels(image.affine, upright, shape) > TOLERANCE_VOXELS
    if not any(codes):
        logging.warning(
            "%s has neither qform nor sform: its place and orientation in the patient are unknown",
            path,
        )
    elif all(codes) and not any(
        same_grid(affine, header.get_qform(), shape) for affine in (image.affine, upright)
    ):
        _refuse_or_warn_of_two_places(image, path, codes)
    if sheared:
        logging.warning(
            "the axes of %s meet at %.3g degrees: the grid is kept, but networks are trained on 90",
            path, _smallest_angle_deg(image.affine),
        )  # fmt: skip


def _refuse_or_warn_of_two_places(image: nib.Nifti1Pair, path: Path, codes: list[int]) -> None:
    """One meaning cannot have two places; two meanings, such as scanner and atlas, may."""
    corners = _corners(image.shape[:3])
    apart = np.abs((image.affine - image.header.get_qform()) @ corners)[:3].max()
    if codes[0] == codes[1]:
        raise InputError(
            f"expected one place of the image, got a qform and an sform {apart:.3g} apart, both of "
            f"code {codes[0]}, in {path}: set the code of the wrong one to 0"
        )
    logging.warning(
        "qform and sform of %s are %.3g apart (codes %d and %d): the sform is used",
        path, apart, *codes,
    )  # fmt: skip


def _smallest_angle_deg(affine: Affine) -> float:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs(np.triu(directions.T @ directions, 1))
    return float(np.degrees(np.arccos(cosines.max())))


def _corners(shape: tuple[int, ...]) -> Affine:
    return np.array([*product(*((0, size - 1) for size in shape), [1])], float).T


def _distance_voxels(affine: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    corners = _corners(shape)
    return float(np.abs(np.linalg.solve(affine, other @ corners) - corners).max())
