"""Intensities as the pixels of DICOM images: 16-bit integers on a linear scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.io.dicom.derived_header import decimal

UNSIGNED, SIGNED = np.dtype("<u2"), np.dtype("<i2")
FINE_STEPS = 1000  # stored values that a scale needs for the brightest intensity


@dataclass(frozen=True)
class PixelScale:
    """Intensity = slope * stored value + intercept.

    Attributes:
        slope: not 0.
        intercept: in the unit of the intensities.
        dtype: of the stored values, `UNSIGNED` or `SIGNED`.
    """

    slope: float
    intercept: float
    dtype: np.dtype

    def to_stored(self, intensities: NDArray[np.floating]) -> NDArray[np.integer]:
        """The stored values nearest to the intensities, which the scale must reach."""
        stored = (intensities.astype(np.float64) - self.intercept) / self.slope
        return np.rint(stored, out=stored).astype(self.dtype)

    def to_intensities(self, stored: NDArray[np.integer]) -> NDArray[np.float32]:
        """The intensities that a reader of the stored values computes."""
        return (stored * self.slope + self.intercept).astype(np.float32)


def pixel_scale(
    intensities: NDArray[np.floating], source: tuple[float, float] | None = None
) -> PixelScale:
    """A scale that reaches all intensities, signed if any of them is negative.

    It is the slope and intercept of the source, so that stored values keep their meaning, unless
    those are unknown, too coarse or too narrow.
    """
    limits = np.array([intensities.min(), intensities.max()], np.float64)
    if source is not None:
        slope, intercept = source
        stored = np.rint((limits - intercept) / slope)
        for dtype in (UNSIGNED, SIGNED):
            range_ = np.iinfo(dtype)
            reached = range_.min <= stored.min() and stored.max() <= range_.max
            if reached and np.abs(stored).max() >= FINE_STEPS:
                return PixelScale(slope, intercept, dtype)
    dtype = SIGNED if limits[0] < 0 else UNSIGNED
    largest = np.abs(limits).max() or 1.0
    return PixelScale(float(str(decimal(largest / np.iinfo(dtype).max))), 0.0, dtype)
