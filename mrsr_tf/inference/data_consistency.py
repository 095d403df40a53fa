"""Data consistency: an upsampled scan that is thickened again must equal the scan it came from.

With T the matrix that thickens slices (`mrsr_tf.mri.slices`), b the thick scan and x the upsampled
one, column by column, the residual is r = b - T x. The smallest change of x that removes it is

    T' (T T')^-1 r                                  the x nearest to the old one with T x = b

Consistency relates the output to its input; it does not show that the output is right, because any
b with any noise can be matched. Where the assumed profile has little gain, (T T')^-1 would amplify
whatever is there. Gains are therefore bounded from below, and at those frequencies the residual is
removed only in part.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.mri.slices import Profile, thicken, thicken_matrix

# As a fraction of the power that the profile passes at frequency 0. The lowest power of fir, box
# and kspace is 0.39, that of kspace_hamming 0.004.
GAIN_FLOOR = 0.1


def residual(
    fine: NDArray[np.floating], thick: NDArray[np.floating], *, profile: str = Profile.FIR
) -> NDArray[np.floating]:
    """The thick scan minus the upsampled scan thickened again, in the shape and unit of `thick`.

    Args:
        fine: (rows, cols, factor * thick slices, echoes).
        thick: (rows, cols, thick slices, echoes), on the same intensity scale.
        profile: of the thick slices, see `slices.thicken`.
    """
    return thick - thicken(fine, fine.shape[2] // thick.shape[2], profile=profile)


def residual_rms(
    fine: NDArray[np.floating], thick: NDArray[np.floating], *, profile: str = Profile.FIR
) -> float:
    """The root mean square of `residual` over all voxels and echoes."""
    difference = residual(fine, thick, profile=profile)
    return float(np.sqrt(np.mean(np.square(difference, out=difference))))


def enforce_data_consistency(
    fine: NDArray[np.floating], thick: NDArray[np.floating], *, profile: str = Profile.FIR
) -> NDArray[np.floating]:
    """The scan nearest to `fine` that equals `thick` when thickened; arguments as `residual`."""
    difference = residual(fine, thick, profile=profile)
    matrix = back_projection(fine.shape[2], fine.shape[2] // thick.shape[2], profile)
    change = np.moveaxis(difference, 2, -1) @ matrix.T.astype(difference.dtype)
    return fine + np.moveaxis(change, -1, 2)


@lru_cache(maxsize=16)
def back_projection(slices: int, factor: int, profile: str = Profile.FIR) -> NDArray[np.float64]:
    """(slices, ceil(slices / factor)): T' (T T')^-1 with gains bounded from below."""
    thickening = thicken_matrix(slices, factor, profile)
    powers, basis = np.linalg.eigh(thickening @ thickening.T)
    powers = np.maximum(powers, GAIN_FLOOR / factor)  # at frequency 0 it is 1 / factor
    return thickening.T @ (basis / powers) @ basis.T
