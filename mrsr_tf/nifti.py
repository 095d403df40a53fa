"""NIfTI in and out, with the acquisition in a JSON sidecar beside the image.

NIfTI has (column, row, slice[, echo]) and an affine to RAS; a `Volume` has (row, column, slice,
echo) and one to LPS. Another slice axis is moved last on the way in and back on the way out, and
slices keep their direction, so that an image comes out in the axis order it came in.

The sidecar is NAME.json beside NAME.nii.gz, with BIDS names (EchoTime in seconds, a list for two
echoes; RepetitionTime in seconds; FlipAngle in degrees) and three of our own: SpoilerArea (as GE
stores it), SpoilerDurationUs and SliceAxis.
"""

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrsr_tf import outputs
from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

DERIVATION = "Derivation"  # in the sidecar of a derived scan: how it was made
COARSER = 1.5
GRID_TOLERANCE_MM = 0.01
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # and back
MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
# No scan exceeds these; milliseconds taken for seconds do.
LARGEST = {"EchoTime": 1, "RepetitionTime": 20, "FlipAngle": 360}

Result = TypeVar("Result")


def is_nifti(path: Path) -> bool:
    """Whether the file's name ends as that of a NIfTI."""
    return path.name.endswith((".nii", ".nii.gz"))


def read_nifti(path: str | Path, *, slice_axis: int = 2) -> Volume:
    """Reads a 3-D image (one echo) or a 4-D one (one or two echoes last) and its sidecar.

    Args:
        path: .nii or .nii.gz.
        slice_axis: which axis of the file counts slices: 0, 1 or 2.

    Raises:
        InputError: the file is missing, damaged, of another shape, not finite, or clearly coarser
            along another axis than `slice_axis`; or its sidecar is unreadable or contradicts it.
    """
    path = Path(path)
    image = _load(path)
    if image.ndim not in (3, 4) or image.shape[3:] > (2,):
        raise InputError(
            f"expected a 3-D NIfTI, or a 4-D one with one or two echoes last, got shape "
            f"{image.shape} in {path}"
        )
    sidecar = read_sidecar(path)
    _check_slice_axis(image, path, sidecar.get("SliceAxis"), slice_axis)
    data = _guarded(path, image.get_fdata, "unchanged", np.float32)
    array = _to_rows(data if data.ndim == 4 else data[..., None], slice_axis)
    acquisition = _acquisition(sidecar, sidecar_path(path), echoes=array.shape[3])
    try:
        return Volume(array, _to_lps(image, slice_axis), **acquisition)
    except InputError as error:
        raise InputError(f"{error} in {path}") from None


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
    if array.ndim != 3 or _to_rows(array, slice_axis).shape != shape:
        raise InputError(
            f"expected a map of the scan's {shape} voxels, got {array.shape} in {path}"
        )
    corners = np.vstack([np.zeros(3), np.diag(shape)])
    apart = _to_lps(image, slice_axis) - volume.affine
    if np.abs(apart @ np.vstack([corners.T, np.ones(4)])).max() > GRID_TOLERANCE_MM:
        raise InputError(f"expected a map that lies where its scan lies, got another: {path}")
    return _to_rows(array, slice_axis)


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
        sidecar_path(path), _described(volume) | {"SliceAxis": slice_axis} | dict(sidecar or {})
    )
    _save(array, volume.affine, path, slice_axis)


def write_map(
    array: NDArray[Any], volume: Volume, path: str | Path, *, slice_axis: int = 2
) -> None:
    """Writes a 3-D map (as float32) or labels (as the smallest integers that hold them).

    Args:
        array: (rows, cols, slices) on the grid of `volume`; NaN is kept.
        volume: the scan whose grid it is.
        path: .nii or .nii.gz.
        slice_axis: as for `write_nifti`.

    Raises:
        InputError: the array has another shape than the scan, or `path` another ending.
    """
    if array.shape != volume.array.shape[:3]:
        raise InputError(f"expected a map of {volume.array.shape[:3]} voxels, got {array.shape}")
    if array.dtype.kind == "f":
        stored = array.astype(np.float32)
    else:
        stored = array.astype(_integer_type(int(array.min()), int(array.max())))
    _save(stored, volume.affine, _checked_name(path), slice_axis)


def sidecar_path(path: str | Path) -> Path:
    """NAME.json of NAME.nii or NAME.nii.gz."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The sidecar of the image at `path`; empty where there is none.

    Raises:
        InputError: it is there, but is no JSON object.
    """
    beside = sidecar_path(path)
    if not beside.exists():
        return {}
    try:
        sidecar = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError:
        sidecar = None
    if not isinstance(sidecar, dict):
        raise InputError(f"expected a JSON object, got something else in {beside}")
    return sidecar


def _acquisition(sidecar: Mapping[str, Any], beside: Path, *, echoes: int) -> dict[str, Any]:
    times = sidecar.get("EchoTime")
    if times is not None:
        times = [_number("EchoTime", time, beside) for time in np.ravel(times).tolist()]
        if len(times) != echoes or times != sorted(times):
            raise InputError(
                f"expected {echoes} EchoTime in ascending order, as many as echoes, got {times} "
                f"in {beside}"
            )
        times = tuple(_ms(time) for time in times)
    repetition_time, flip, area, duration, thickness = (
        None if sidecar.get(key) is None else _number(key, sidecar[key], beside)
        for key in ("RepetitionTime FlipAngle SpoilerArea SpoilerDurationUs SliceThickness".split())
    )
    return {
        "echo_times_ms": times,
        "repetition_time_ms": None if repetition_time is None else _ms(repetition_time),
        "flip_angle_deg": flip,
        "spoiler_area": area,
        "spoiler_duration_us": duration,
        "slice_thickness_mm": thickness,
        "derived": DERIVATION in sidecar,
    }


def _number(key: str, value: Any, beside: Path) -> float:
    largest = LARGEST.get(key, np.inf)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= largest:
        unit = "seconds" if "Time" in key else "a number"
        raise InputError(f"expected {key} in {unit} above 0, got {value!r} in {beside}")
    return float(value)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 6)  # 0.00748 s are 7.48 ms, not 7.4799999999999995


def _described(volume: Volume) -> dict[str, Any]:
    times = volume.echo_times_ms and [round(time / 1000, 9) for time in volume.echo_times_ms]
    repetition_time = volume.repetition_time_ms and round(volume.repetition_time_ms / 1000, 9)
    described = {
        "EchoTime": times[0] if times and len(times) == 1 else times,
        "RepetitionTime": repetition_time,
        "FlipAngle": volume.flip_angle_deg,
        "SpoilerArea": volume.spoiler_area,
        "SpoilerDurationUs": volume.spoiler_duration_us,
        "SliceThickness": None if volume.derived else volume.slice_thickness_mm,
    }
    return {key: value for key, value in described.items() if value is not None}


def _load(path: Path) -> nib.Nifti1Image:
    if not path.exists():
        raise InputError(f"expected a NIfTI file, found nothing at {path}")
    _guarded(path, _check_whole, path)
    image = _guarded(path, nib.load, path)
    if not isinstance(image, nib.Nifti1Image) or image.get_data_dtype().kind not in "iuf":
        raise InputError(f"expected a NIfTI of real numbers, got another image: {path}")
    return image


def _check_whole(path: Path) -> None:
    """Reads a compressed file to its end, where the checksum is: nibabel stops before."""
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            while stream.read(2**22):
                pass


def _guarded(path: Path, read: Callable[..., Result], *arguments: Any) -> Result:
    """`read(*arguments)`; whatever a damaged file makes nibabel raise becomes an `InputError`."""
    try:
        return read(*arguments)
    except MemoryError:
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


def _check_slice_axis(
    image: nib.Nifti1Image, path: Path, recorded: int | None, slice_axis: int
) -> None:
    """Raises if the sidecar's SliceAxis differs or, without one, another axis is coarser."""
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


def _integer_type(lowest: int, highest: int) -> type[np.integer]:
    for dtype in (np.uint8, np.int16, np.int32):
        if np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max:
            return dtype
    raise InputError(f"expected labels of up to 32 bits, got {lowest} to {highest}")


def _axes(slice_axis: int) -> list[int]:
    """Which axis of the file counts rows, columns and slices."""
    columns, rows = (axis for axis in range(3) if axis != slice_axis)
    return [rows, columns, slice_axis]


def _to_rows(data: NDArray[Any], slice_axis: int) -> NDArray[Any]:
    return data.transpose(*_axes(slice_axis), *range(3, data.ndim))


def _to_lps(image: nib.Nifti1Image, slice_axis: int) -> NDArray[np.float64]:
    """(row, col, slice, 1) -> mm, LPS."""
    unit = MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
    to_mm = np.diag([unit, unit, unit, 1.0])
    return (RAS_LPS @ to_mm @ image.affine)[:, [*_axes(slice_axis), 3]]


def _save(array: NDArray[Any], affine: NDArray[np.float64], path: Path, slice_axis: int) -> None:
    back = np.argsort([*_axes(slice_axis), 3])
    image = nib.Nifti1Image(array.transpose(back[: array.ndim]), (RAS_LPS @ affine)[:, back])
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    with outputs.output_file(path) as partial:
        nib.save(image, partial)
