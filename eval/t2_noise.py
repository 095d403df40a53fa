"""T2 of a dual-echo DESS scan: what the formula needs to know of it, and where to believe it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.mri.acquisition import sequence, with_sequence
from mrsr_tf.mri.dess import T2_LIMIT_MS, t2_map
from mrsr_tf.mri.noise import noise_deviation
from mrsr_tf.volume import Volume

__all__ = ["T2_LIMIT_MS", "above_noise", "sequence", "t2_deviation", "t2_map", "with_sequence"]

NOISE_DEVIATIONS = 6
RATIO_STEP = 0.01
SMOOTHING_VOXELS = 1.0


def above_noise(scan: Volume) -> NDArray[np.bool_]:
    """(rows, cols, slices): where every echo, smoothed a little in plane, stands out of noise."""
    inside = np.ones(scan.array.shape[:3], bool)
    for echo in np.moveaxis(scan.array, 3, 0):
        smooth = ndimage.gaussian_filter(echo, (SMOOTHING_VOXELS, SMOOTHING_VOXELS, 0))
        inside &= smooth > NOISE_DEVIATIONS * noise_deviation(echo)
    return inside


def t2_deviation(scan: Volume, **known: Any) -> NDArray[np.float32]:
    """The standard deviation that each voxel's T2 owes to the echoes' noise.

    T2 hangs on the echoes by ln(S2/S1) alone, whose deviation is that of two independent relative
    errors: sd(T2) = |dT2 / d ln(S2/S1)| sqrt((n1/S1)^2 + (n2/S2)^2), to first order. The slope is
    taken from the map itself, so either method's own.

    Args:
        scan: two echoes.
        known: what `t2_map` is given beside the echoes.

    Returns:
        (rows, cols, slices) in ms, of one voxel; NaN where it, or a voxel slightly brighter in S2
        or in S1, has no T2. Too small where the scanner interpolated in plane.
    """
    s1, s2 = np.moveaxis(scan.array, 3, 0)
    step = np.float32(np.exp(RATIO_STEP))
    longer, shorter = (t2_map(s1, s2 * ratio, **known) for ratio in (step, 1 / step))
    slope = (longer - shorter) / (2 * RATIO_STEP)
    darkest = np.finfo(np.float32).tiny
    with np.errstate(over="ignore"):  # where there is no signal there is no slope either
        relative = [noise_deviation(echo) / np.maximum(echo, darkest) for echo in (s1, s2)]
    return (slope * np.hypot(*relative)).astype(np.float32)
