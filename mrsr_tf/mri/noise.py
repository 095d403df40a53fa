"""The noise of a scan, estimated from the scan itself."""

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.volume import Volume

NOISE_DEVIATIONS = 6
SMOOTHING_VOXELS = 1.0


def noise_deviation(image: NDArray[np.floating]) -> float:
    """The standard deviation of an image's noise, from the differences of neighbouring rows.

    x_i - (x_(i-1) + x_(i+1)) / 2 has 3/2 of the variance of white noise. Most of a knee's image is
    smooth, so that edges do not affect the median. Too low if the scanner interpolated in plane.

    Args:
        image: (rows, cols, slices), one echo.

    Returns:
        The standard deviation in the image's unit; 0 if there are fewer than three rows.
    """
    differences = image[1:-1] - (image[:-2] + image[2:]) / 2
    if not differences.size:
        return 0.0
    return float(1.4826 * np.median(np.abs(differences)) / np.sqrt(1.5))


def above_noise(scan: Volume) -> NDArray[np.bool_]:
    """(rows, cols, slices): where every echo, slightly smoothed in plane, is above the noise."""
    from scipy import ndimage  # takes longer to load than a shipped network

    above = np.ones(scan.array.shape[:3], bool)
    for echo in np.moveaxis(scan.array, 3, 0):
        smooth = ndimage.gaussian_filter(echo, (SMOOTHING_VOXELS, SMOOTHING_VOXELS, 0))
        above &= smooth > NOISE_DEVIATIONS * noise_deviation(echo)
    return above
