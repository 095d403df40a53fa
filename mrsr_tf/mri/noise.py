"""How noisy a scan is, told from the scan itself."""

import numpy as np
from numpy.typing import NDArray


def noise_deviation(image: NDArray[np.floating]) -> float:
    """The standard deviation of an image's noise, from what neighbouring rows do not share.

    x_i - (x_(i-1) + x_(i+1)) / 2 has 3/2 of the variance of white noise, and most of a knee's image
    is smooth, so the median does not see edges. Too low where the scanner interpolated in plane.

    Args:
        image: (rows, cols, slices), one echo.

    Returns:
        In the image's unit; 0 where there are fewer than three rows.
    """
    unshared = image[1:-1] - (image[:-2] + image[2:]) / 2
    if not unshared.size:
        return 0.0
    return float(1.4826 * np.median(np.abs(unshared)) / np.sqrt(1.5))
