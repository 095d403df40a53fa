"""The noise of a scan, estimated from the scan itself."""

import numpy as np
from numpy.typing import NDArray


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
