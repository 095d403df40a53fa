"""Data consistency: a super-resolved scan, made thick again, must be the scan it was made from.

With T the matrix that makes slices thick (`mrsr_tf.mri.slices`), b the thick scan and x the fine
one, column by column, the residual is r = b - T x, and the least change of x that takes it away is

    T' (T T')^-1 r                                        x nearest to the old one with T x = b

It says how a network's output relates to its input, nothing of whether it is right: any b of any
noise can be met. Where an assumed profile has little gain, (T T')^-1 would make much of whatever
is there, so no gain is taken for less than a floor; there the residual is taken away only in part.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.mri.slices import thicken, thicken_matrix

# Of the power that the profile passes at frequency 0. The least of fir, box and kspace is 0.39, of
# kspace_hamming 0.004.
GAIN_FLOOR = 0.1


def residual(
    fine: NDArray[np.floating], thick: NDArray[np.floating], *, profile: str = "fir"
) -> NDArray[np.floating]:
    """What a thick scan has more than the fine one has when it is made thick again.

    Args:
        fine: (rows, cols, factor * thick slices, echoes).
        thick: (rows, cols, thick slices, echoes), on the same intensity scale.
        profile: that made the slices thick, see `slices.thicken`.

    Returns:
        The shape of `thick`, in its unit.
    """
    return thick - thicken(fine, fine.shape[2] // thick.shape[2], profile=profile)


def residual_rms(
    fine: NDArray[np.floating], thick: NDArray[np.floating], *, profile: str = "fir"
) -> float:
    """The root mean square of `residual` over all voxels and echoes."""
    left = residual(fine, thick, profile=profile)
    return float(np.sqrt(np.mean(np.square(left, out=left))))


def made_consistent(
    fine: NDArray[np.floating], thick: NDArray[np.floating], *, profile: str = "fir"
) -> NDArray[np.floating]:
    """The nearest fine scan that is the thick one when it is made thick again; as `residual`."""
    left = residual(fine, thick, profile=profile)
    matrix = back_projection(fine.shape[2], fine.shape[2] // thick.shape[2], profile)
    change = np.moveaxis(left, 2, -1) @ matrix.T.astype(left.dtype)
    return fine + np.moveaxis(change, -1, 2)


@lru_cache(maxsize=16)
def back_projection(slices: int, factor: int, profile: str = "fir") -> NDArray[np.float64]:
    """(slices, ceil(slices / factor)): T' (T T')^-1, no gain taken for less than the floor."""
    thickening = thicken_matrix(slices, factor, profile)
    powers, basis = np.linalg.eigh(thickening @ thickening.T)
    powers = np.maximum(powers, GAIN_FLOOR / factor)  # at frequency 0 it is 1 / factor
    return thickening.T @ (basis / powers) @ basis.T
