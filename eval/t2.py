"""T2 of a dual-echo DESS scan: what the formula needs to know of it, and where to believe it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.dess import T2_LIMIT_MS, t2_map
from mrsr_tf.noise import noise_deviation
from mrsr_tf.sequence import sequence, t2_deviation, with_sequence
from mrsr_tf.volume import Volume

__all__ = ["T2_LIMIT_MS", "above_noise", "sequence", "t2_deviation", "t2_map", "with_sequence"]

NOISE_DEVIATIONS = 6
SMOOTHING_VOXELS = 1.0


def above_noise(scan: Volume) -> NDArray[np.bool_]:
    """(rows, cols, slices): where every echo, smoothed a little in plane, stands out of noise."""
    inside = np.ones(scan.array.shape[:3], bool)
    for echo in np.moveaxis(scan.array, 3, 0):
        smooth = ndimage.gaussian_filter(echo, (SMOOTHING_VOXELS, SMOOTHING_VOXELS, 0))
        inside &= smooth > NOISE_DEVIATIONS * noise_deviation(echo)
    return inside
