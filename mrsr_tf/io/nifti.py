"""NIfTI in and out, with the acquisition in a JSON sidecar beside the image (`sidecar`).

NIfTI has (column, row, slice[, echo]) and an affine to RAS; a `Volume` has (row, column, slice,
echo) and one to LPS. Another slice axis is moved last on the way in and back on the way out, and
slices keep their direction, so that an image comes out in the axis order it came in.

Two echoes are one 4-D image, or two 3-D ones named as BIDS names them: NAME_echo-1 and NAME_echo-2.
"""

import gzip
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrsr_tf import outputs
from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import LARGEST_BYTES, LARGEST_RATIO
from mrsr_tf.io.echo_files import second_echo
from mrsr_tf.io.nifti_grid import (
    RAS_LPS,
    axes,
    check_slice_axis,
    check_unit,
    lps,
    same_place,
    to_lps,
    to_rows,
)
from mrsr_tf.io.sidecar import acquisition, described, read_sidecar, sidecar_path
from mrsr_tf.volume import Volume

Result = TypeVar("Result")
BLOCK = 2**22
HARMLESS_BYTES = 2**31  # label maps of so much, nearly all zeros, are packed as small as any bomb
ENDINGS = (".nii", ".nii.gz")


def is_nifti(path: Path) -> bool:
    """Whether the file's name ends as that of a NIfTI."""
    return path.name.endswith(ENDINGS)


def read_nifti(path: str | Path, *, slice_axis: int = 2) -> Volume:
    """Reads a 3-D image (one echo) or a 4-D one (one or two echoes last) and its sidecar.

    A 3-D NAME_echo-1 is read together with the NAME_echo-2 beside it.

    Args:
        path: .nii or .nii.gz.
        slice_axis: which axis of the file counts slices: 0, 1 or 2.

    Raises:
        InputError: the file is missing, damaged, of another shape, not finite, or clearly coarser
            along another axis than `slice_axis`; or its sidecar is unreadable or contradicts it;
            or the other echo is of another grid, repetition time or flip angle.
    """
    path = Path(path)
    first, other = _read_one(path, slice_axis), second_echo(path)
    if other is None or first.echoes == 2:
        return first
    return _together(first, _read_one(other, slice_axis), path, other)


def _read_one(path: Path, slice_axis: int) -> Volume:
    image = _load(path)
    if image.ndim not in (3, 4) or image.shape[3:] > (2,):
        raise InputError(
            f"expected a 3-D NIfTI, or a 4-D one with one or two echoes last, got shape "
            f"{image.shape} in {path}"
        )
    sidecar = read_sidecar(path)
    check_slice_axis(image, path, sidecar.get("SliceAxis"), slice_axis)
    check_unit(image, path)
    data = _guarded(path, image.get_fdata, "unchanged", np.float32)
    array = to_rows(data if data.ndim == 4 else data[..., None], slice_axis)
    told = acquisition(sidecar, sidecar_path(path), echoes=array.shape[3])
    try:
        return Volume(array, to_lps(image, slice_axis), **told)
    except InputError as error:
        raise InputError(f"{error} in {path}") from None


def _together(first: Volume, second: Volume, path: Path, other: Path) -> Volume:
    """Both echoes as one scan; raises where the two files are not echoes of one."""
    if second.array.shape != first.array.shape:
        raise InputError(
            f"expected two echoes of one matrix, got {first.array.shape[:3]} and "
            f"{second.array.shape[:3]}: in {path} and {other}"
        )
    if not same_place(first.affine, second.affine, first.array.shape[:3]):
        raise InputError(f"expected two echoes that lie alike, got others: {path} and {other}")
    for name in ("repetition_time_ms", "flip_angle_deg", "spoiler_area", "spoiler_duration_us"):
        values = getattr(first, name), getattr(second, name)
        if values[0] != values[1]:
            raise InputError(
                f"expected one {name.replace('_', ' ')}, got {values[0]} and {values[1]}: beside "
                f"{path} and {other}"
            )
    times = None
    if first.echo_times_ms and second.echo_times_ms:
        times = (*first.echo_times_ms, *second.echo_times_ms)
        if times[1] <= times[0]:
            raise InputError(
                f"expected echo 2 after echo 1, got echo times of {times[0]:g} and {times[1]:g} "
                f"ms: beside {path} and {other}"
            )
    array = np.concatenate([first.array, second.array], axis=3)
    return replace(first, array=array, echo_times_ms=times)


def read_placed(path: str | Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """A 3-D image as it is stored, and the affine from its own axes to patient mm, LPS.

    Raises:
        InputError: the file is missing, damaged or not 3-D.
    """
    path = Path(path)
    image = _load(path)
    if image.ndim != 3:
        raise InputError(f"expected a 3-D NIfTI, got shape {image.shape} in {path}")
    return _guarded(path, np.asanyarray, image.dataobj), lps(image)


def read_map(path: str | Path, volume: Volume, *, slice_axis: int = 2) -> NDArray[Any]:
    """Reads a 3-D map or label image on the grid of `volume`.

    Returns:
        (rows, cols, slices) in the file's own type; NaN is left as it is.

    Raises:
        InputError: the file is missing or damaged, or lies on another grid.
    """
    path = Path(path)
    image = _load(path)
    array = _guarded(path, np.asanyarray, image.dataobj)
    shape = volume.array.shape[:3]
    if array.ndim != 3 or to_rows(array, slice_axis).shape != shape:
        raise InputError(
            f"expected a map of the scan's {shape} voxels, got {array.shape} in {path}"
        )
    if not same_place(to_lps(image, slice_axis), volume.affine, shape):
        raise InputError(f"expected a map that lies where its scan lies, got another: {path}")
    return to_rows(array, slice_axis)


def write_nifti(
    volume: Volume,
    path: str | Path,
    *,
    slice_axis: int = 2,
    sidecar: Mapping[str, Any] | None = None,
) -> None:
    """Writes float32, 3-D for one echo and 4-D for two, and its sidecar; each whole or not at all.

    Args:
        volume: the scan.
        path: .nii or .nii.gz.
        slice_axis: which axis of the file shall count slices.
        sidecar: further keys for the sidecar, plain JSON.

    Raises:
        InputError: `path` has another ending.
    """
    path = _checked_name(path)
    array = volume.array if volume.echoes > 1 else volume.array[..., 0]
    outputs.write_json(
        sidecar_path(path), described(volume) | {"SliceAxis": slice_axis} | dict(sidecar or {})
    )
    _save(array, volume.affine, path, slice_axis)


def write_map(
    array: NDArray[Any],
    volume: Volume,
    path: str | Path,
    *,
    slice_axis: int = 2,
    sidecar: Mapping[str, Any] | None = None,
) -> None:
    """Writes a 3-D map (as float32) or labels (as the smallest integers that hold them).

    Args:
        array: (rows, cols, slices) on the grid of `volume`; NaN is kept.
        volume: the scan whose grid it is.
        path: .nii or .nii.gz.
        slice_axis: as for `write_nifti`.
        sidecar: what a JSON beside it shall tell, as {"Units": "ms"}; None for no JSON.

    Raises:
        InputError: the array has another shape than the scan, or `path` another ending.
    """
    if array.shape != volume.array.shape[:3]:
        raise InputError(f"expected a map of {volume.array.shape[:3]} voxels, got {array.shape}")
    if array.dtype.kind == "f":
        stored = array.astype(np.float32)
    else:
        stored = array.astype(_integer_type(int(array.min()), int(array.max())))
    path = _checked_name(path)
    if sidecar is not None:
        outputs.write_json(sidecar_path(path), dict(sidecar))
    _save(stored, volume.affine, path, slice_axis)


def _load(path: Path) -> nib.Nifti1Image:
    if not path.exists():
        raise InputError(f"expected a NIfTI file, found nothing at {path}")
    image = _guarded(path, nib.load, path)
    if not isinstance(image, nib.Nifti1Image) or image.get_data_dtype().kind not in "iuf":
        raise InputError(f"expected a NIfTI of real numbers, got another image: {path}")
    if path.suffix == ".gz":
        _guarded(path, _check_whole, path, image)
    return image


def _check_whole(path: Path, image: nib.Nifti1Image) -> None:
    """Reads a compressed file to its end, where the checksum is: nibabel stops before.

    Raises for one that is made to swell, before its image is in memory.
    """
    voxels = math.prod(map(int, image.shape)) * image.get_data_dtype().itemsize
    told, packed = image.header.get_data_offset() + voxels, path.stat().st_size
    if told > LARGEST_BYTES or (told > HARMLESS_BYTES and told > LARGEST_RATIO * packed):
        raise InputError(
            f"expected the NIfTI of one scan, got {told / 2**30:.1f} GiB in "
            f"{packed / 2**20:.1f} MiB: {path}"
        )
    with gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            told -= len(block)
            if told < -BLOCK:
                raise InputError(f"expected a NIfTI as large as its header tells, got more: {path}")


def _guarded(path: Path, read: Callable[..., Result], *arguments: Any) -> Result:
    """`read(*arguments)`; whatever a damaged file makes nibabel raise becomes an `InputError`."""
    try:
        return read(*arguments)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # nibabel, gzip and zlib each raise their own
        raise InputError(
            f"expected a whole NIfTI file, got a {type(error).__name__} in reading {path}"
        ) from error


def _checked_name(path: str | Path) -> Path:
    path = Path(path)
    if not is_nifti(path):
        raise InputError(f"expected a name ending in .nii or .nii.gz, got {path}")
    return path


def _integer_type(lowest: int, highest: int) -> type[np.integer]:
    for dtype in (np.uint8, np.int16, np.int32):
        if np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max:
            return dtype
    raise InputError(f"expected labels of up to 32 bits, got {lowest} to {highest}")


def _save(array: NDArray[Any], affine: NDArray[np.float64], path: Path, slice_axis: int) -> None:
    back = np.argsort([*axes(slice_axis), 3])
    image = nib.Nifti1Image(array.transpose(back[: array.ndim]), (RAS_LPS @ affine)[:, back])
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    with outputs.output_file(path) as partial:
        nib.save(image, partial)
