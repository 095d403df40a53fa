"""A scan in memory: intensities, where they lie in the patient, and how they were acquired.

Axis order, stated once: every array is (rows, cols, slices, echoes), as DICOM has images, stacked.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError

SCALE_PERCENTILE = 99.9


@dataclass(frozen=True, eq=False)
class Volume:
    """One scan of one or two echoes.

    Attributes:
        array: float32 (rows, cols, slices, echoes), scanner intensities.
        affine: float64 (4, 4), (row, col, slice, 1) -> patient position in mm, LPS.
        echo_times_ms: one per echo, ascending; None where unknown.
        repetition_time_ms: None where unknown.
        flip_angle_deg: None where unknown.
        spoiler_area: of the gradient between the echoes, as GE stores it (3132 -> 8379 rad/m);
            None where unknown.
        spoiler_duration_us: its duration; None where unknown.
        slice_thickness_mm: of the slices as acquired, by the header; None where unknown.
        derived: computed by this package and not by the scanner.

    Raises:
        InputError: the array is not 4-D, empty, of more than two echoes or not finite, or the
            affine is singular.
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
            bad = np.count_nonzero(~np.isfinite(self.array))
            raise InputError(f"expected finite intensities, got {bad} that are NaN or infinite")
        if self.affine.shape != (4, 4) or not abs(np.linalg.det(self.affine)) > 0:
            raise InputError("expected an invertible 4x4 affine of finite numbers")
        if self.echo_times_ms is not None and len(self.echo_times_ms) != self.echoes:
            raise InputError(
                f"expected one echo time for each of {self.echoes} echoes, got {self.echo_times_ms}"
            )

    @property
    def echoes(self) -> int:
        """How many echoes: 1 (single-contrast) or 2 (dual-contrast)."""
        return self.array.shape[3]

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """(3,) distance between neighbouring rows, columns and slices."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def resliced(self, array: NDArray[np.floating], factor: float, first: float = 0.0) -> "Volume":
        """The same scan on slices `factor` times as dense: the spacing divided.

        A thick scan made of every second slice has `factor` 1/2. The origin stays, unless slice 0
        of this scan shall lie `first` new slices from slice 0 of the new one.
        """
        affine = self.affine.copy()
        affine[:3, 2] /= factor
        affine[:3, 3] -= first * affine[:3, 2]
        array = array.astype(np.float32, copy=False)
        return replace(self, array=array, affine=affine, derived=True)


def intensity_scale(array: NDArray[np.floating]) -> float:
    """The one intensity that a subject's echoes are divided by: their joint 99.9th percentile.

    Args:
        array: the volume the network is given (after interpolation), all echoes.

    Raises:
        InputError: the percentile is not positive (an empty image).
    """
    scale = float(np.percentile(array, SCALE_PERCENTILE))
    if not scale > 0:
        raise InputError(f"expected an image, got a 99.9th percentile intensity of {scale:g}")
    return scale
