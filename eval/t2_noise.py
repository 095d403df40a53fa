"""The noise of a T2 map: how much T2 varies because of the noise of the echoes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.mri.dess import t2_map
from mrsr_tf.mri.noise import noise_deviation
from mrsr_tf.volume import Volume

RATIO_STEP = 0.01


def t2_deviation(scan: Volume, **parameters: Any) -> NDArray[np.float32]:
    """The standard deviation of each voxel's T2 that is caused by the noise of the echoes.

    T2 depends on the echoes through ln(S2/S1) alone, whose standard deviation is that of two
    independent relative errors. To first order, sd(T2) = |dT2 / d ln(S2/S1)| sqrt((n1/S1)^2 +
    (n2/S2)^2). The slope is computed from the map itself, and so is that of either method.

    Args:
        scan: two echoes.
        parameters: arguments of `mrsr_tf.mri.dess.t2_map` besides the echoes.

    Returns:
        (rows, cols, slices) in ms; NaN where T2 of the voxel, or of one slightly brighter in S2 or
        S1, is NaN. Too low if the scanner interpolated in plane.
    """
    s1, s2 = np.moveaxis(scan.array, 3, 0)
    step = np.float32(np.exp(RATIO_STEP))
    longer, shorter = (t2_map(s1, s2 * ratio, **parameters) for ratio in (step, 1 / step))
    slope = (longer - shorter) / (2 * RATIO_STEP)
    darkest = np.finfo(np.float32).tiny
    with np.errstate(over="ignore"):  # without a signal there is no slope either
        relative = [noise_deviation(echo) / np.maximum(echo, darkest) for echo in (s1, s2)]
    return (slope * np.hypot(*relative)).astype(np.float32)
