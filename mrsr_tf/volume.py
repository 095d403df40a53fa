"""A scan in memory: intensities, their positions in the patient, and the acquisition.

Every array has the axis order (rows, cols, slices, echoes): DICOM images, stacked.
"""

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError

SCALE_PERCENTILE = 99.9
# Of intensities in this range, sums of squares in units of the scale stay in that of float32.
SMALLEST_SCALE, LARGEST_SCALE = 1e-20, 1e15


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """One scan of one or two echoes.

    Attributes:
        array: float32 (rows, cols, slices, echoes), scanner intensities.
        affine: float64 (4, 4), (row, col, slice, 1) -> patient position in mm, LPS.
        echo_times_ms: one per echo, ascending; None if unknown.
        repetition_time_ms: None if unknown.
        flip_angle_deg: None if unknown.
        spoiler_area: of the gradient between the echoes, as GE stores it (3132 -> 8379 rad/m);
            None if unknown.
        spoiler_duration_us: duration of that gradient; None if unknown.
        slice_thickness_mm: thickness of the slices as acquired; None if unknown.
        derived: whether the scan was computed by this package.

    Raises:
        InputError: the array is not 4-D, is empty, has more than two echoes or is not finite, or
            the affine is singular.
    """

    array: NDArray[np.float32]
    affine: NDArray[np.float64]
    echo_times_ms: tuple[float, ...] | None = None
    repetition_time_ms: float | None = None
    flip_angle_deg: float | None = None
    spoiler_area: float | None = None
    spoiler_duration_us: float | None = None
    slice_thickness_mm: float | None = None
    derived: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", np.asarray(self.array, np.float32))
        object.__setattr__(self, "affine", np.asarray(self.affine, np.float64))
        shape = self.array.shape
        if len(shape) != 4 or 0 in shape:
            raise InputError(f"expected an array (rows, cols, slices, echoes), got {shape}")
        if self.echoes > 2:
            raise InputError(f"expected one or two echoes, got {self.echoes}")
        if not np.isfinite(self.array).all():
            count = np.count_nonzero(~np.isfinite(self.array))
            raise InputError(f"expected finite intensities, got {count} that are NaN or infinite")
        if self.affine.shape != (4, 4) or not abs(np.linalg.det(self.affine)) > 0:
            raise InputError("expected an invertible 4x4 affine of finite numbers")
        if self.echo_times_ms is not None and len(self.echo_times_ms) != self.echoes:
            raise InputError(
                f"expected one echo time for each of {self.echoes} echoes, got {self.echo_times_ms}"
            )

    @property
    def echoes(self) -> int:
        """The number of echoes: 1 (single-contrast) or 2 (dual-contrast)."""
        return self.array.shape[3]

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """(3,) distances between neighbouring rows, columns and slices."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @cached_property
    def identity(self) -> str:
        """16 hexadecimal digits that differ where intensities, position or acquisition differ.

        They say nothing of whose scan it is, nor of the format and names of its files. They are
        computed once, so arrays must not be changed in place.
        """
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        array = facts.pop("array").transpose(3, 2, 0, 1)  # the order in memory of most scans
        digest = hashlib.sha256(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, "<f4").data)
        digest.update(repr({**facts, "affine": self.affine.tolist()}).encode())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        voxels = " x ".join(str(size) for size in self.array.shape[:3])
        spacing = " x ".join(f"{spacing:.4g}" for spacing in self.spacing_mm)
        echoes = "1 echo" if self.echoes == 1 else "2 echoes"
        times = _in_unit("ms", *(self.echo_times_ms or ()))
        tr, flip = _in_unit("ms", self.repetition_time_ms), _in_unit("deg", self.flip_angle_deg)
        return f"Volume({voxels} voxels of {spacing} mm, {echoes} at {times}, TR {tr}, flip {flip})"

    def resliced(self, array: NDArray[np.floating], factor: float, first: float = 0.0) -> "Volume":
        """The same scan on slices `factor` times as dense.

        Args:
            array: (rows, cols, slices, echoes), the new intensities.
            factor: what the slice spacing is divided by; 1/2 if every second slice is kept.
            first: the position of slice 0 of this scan, counted in slices of the new one.
        """
        affine = self.affine.copy()
        affine[:3, 2] /= factor
        affine[:3, 3] -= first * affine[:3, 2]
        array = array.astype(np.float32, copy=False)
        return replace(self, array=array, affine=affine, derived=True)


def intensity_scale(array: NDArray[np.floating]) -> float:
    """The joint 99.9th percentile of all echoes, by which the network's input is divided.

    Args:
        array: the input of the network (after interpolation), all echoes.

    Raises:
        InputError: the percentile is not positive (an empty image), or so small or large that
            float32 cannot compute with it.
    """
    scale = float(np.percentile(array, SCALE_PERCENTILE))
    if not scale > 0:
        raise InputError(f"expected an image, got a 99.9th percentile intensity of {scale:g}")
    if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        raise InputError(
            f"expected intensities between {SMALLEST_SCALE:g} and {LARGEST_SCALE:g}, got a 99.9th "
            f"percentile of {scale:g}"
        )
    return scale


def _in_unit(unit: str, *values: float | None) -> str:
    numbers = [f"{value:g}" for value in values if value is not None]
    return f"{' and '.join(numbers)} {unit}" if numbers else "unknown"
