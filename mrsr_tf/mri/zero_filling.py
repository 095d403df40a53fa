"""Detects slices that the scanner interpolated: more than it acquired, without more detail.

GE's ZIP2 fills the slice spectrum with zeros, which doubles the slices and adds no detail. The
header shows it (SliceThickness is twice the distance between slices), and so does the image: the
upper half of its slice spectrum is empty.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.volume import Volume

INTERPOLATED_BY = (2, 4)  # ZIP2, ZIP4
HEADER_TOLERANCE = 0.05
FEWEST_SLICES = 32  # fewer have too coarse a spectrum to judge
LINES = 1 / 16  # the share of lines that are bright throughout
UPPER, LOWER = (0.6, 1.0), (0.25, 0.4)  # of the slice spectrum's Nyquist frequency
# Power per frequency in the upper band relative to the lower: at least 0.06 in real scans of knees,
# heads and fruit, at most 0.02 after zero-filling, spline or linear interpolation of them.
EMPTY = 0.025
ADVICE = (
    "they hold no more detail than the acquired ones: do not train on them, and super-resolve the "
    "scan reconstructed without interpolation, or every second slice"
)


def interpolated_slices(volume: Volume) -> str | None:
    """Says how it is known that the scanner interpolated the slices; None if it did not.

    Args:
        volume: a scan; one that this package derived does not count as interpolated.

    Returns:
        A clause for a message, such as "its slices of 0.8 mm were interpolated from 1.6 mm
        (SliceThickness)".
    """
    if volume.derived:
        return None
    spacing, thickness = float(volume.spacing_mm[2]), volume.slice_thickness_mm
    factor = (thickness or 0) / spacing
    if any(abs(factor - zip_factor) < HEADER_TOLERANCE for zip_factor in INTERPOLATED_BY):
        return (
            f"its slices of {spacing:.3g} mm were interpolated from {thickness:.3g} mm "
            "(SliceThickness)"
        )
    if upper_band_power(volume.array[..., 0]) < EMPTY:
        return (
            f"its slices of {spacing:.3g} mm were interpolated from thicker ones (the upper half "
            "of the slice spectrum is empty)"
        )
    return None


def upper_band_power(image: NDArray[np.floating]) -> float:
    """Power per frequency above 0.6 of the slice Nyquist frequency, relative to 0.25 to 0.4.

    It is measured along lines across the slices that are bright throughout: in air and at its edges
    the magnitude of a band-limited signal is not band-limited.

    Args:
        image: (rows, cols, slices).

    Returns:
        About 0.001 after zero-filling, 0.06 to 1 for acquired slices; infinite if it cannot be
        measured (few slices, or no structure along them).
    """
    lines = image.reshape(-1, image.shape[2])
    slices = lines.shape[1]
    if slices < FEWEST_SLICES:
        return np.inf
    dimmest = np.partition(lines, slices // 4, axis=1)[:, slices // 4]
    bright = lines[np.argsort(dimmest)[-math.ceil(LINES * len(lines)) :]].astype(np.float64)
    window = np.hanning(slices + 2)[1:-1]  # the ends of a scan do not match
    spectrum = np.fft.rfft((bright - bright.mean(axis=1, keepdims=True)) * window, axis=1)
    power = np.mean(np.abs(spectrum) ** 2, axis=0)
    frequency = np.arange(len(power)) / (slices / 2)
    upper, lower = (
        power[(frequency >= low) & (frequency <= high)].mean() for low, high in (UPPER, LOWER)
    )
    structure = np.finfo(np.float32).eps * np.square(bright).sum(axis=1).mean()
    return float(upper / lower) if lower > structure else np.inf
