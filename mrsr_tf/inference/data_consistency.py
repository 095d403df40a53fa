"""Data consistency: an upsampled scan that is thickened again must equal the scan it came from.

With T the matrix that thickens slices (`mrsr_tf.mri.slices`), b the thick scan and x the upsampled
one, column by column, the residual is r = b - T x. The smallest change of x that removes it is

    T' (T T')^-1 r                                  the x nearest to the old one with T x = b

Consistency relates the output to its input; it does not show that the output is right, because any
b with any noise can be matched. Where the assumed profile has little gain, (T T')^-1 would amplify
whatever is there. Gains are therefore bounded from below, and at those frequencies the residual is
removed only in part.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.mri.noise import noise_deviation
from mrsr_tf.mri.slices import Profile, thicken, thicken_matrix
from mrsr_tf.volume import Volume, intensity_scale

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


@dataclass(frozen=True)
class Residual:
    """How far an upsampled scan, thickened again, is from the scan it came from.

    Attributes:
        of_scale: root mean square of `residual` as a fraction of the intensity scale.
        of_noise: the same in standard deviations of the thick scan's noise; None where the noise
            cannot be estimated.
    """

    of_scale: float
    of_noise: float | None

    def __str__(self) -> str:
        of_noise = "" if self.of_noise is None else f", {self.of_noise:.2g} of the noise"
        return f"{self.of_scale:.2%} of the intensity scale{of_noise}"

    def rounded(self) -> dict[str, float | None]:
        """Both to two digits, as the header of a derived scan states them."""
        return {
            "residual_of_scale": float(f"{self.of_scale:.2g}"),
            "residual_of_noise": self.of_noise and float(f"{self.of_noise:.2g}"),
        }


def measure_residual(fine: Volume, thick: Volume, *, profile: str = Profile.FIR) -> Residual:
    """Measures the residual over all voxels and echoes; arguments as `residual`.

    Raises:
        InputError: the thick scan is empty, see `intensity_scale`.
    """
    difference = residual(fine.array, thick.array, profile=profile)
    largest = float(np.abs(difference).max()) or 1.0  # whose square float32 may not hold
    difference /= largest
    rms = largest * float(np.sqrt(np.mean(np.square(difference, out=difference))))
    noise = float(np.mean([noise_deviation(echo) for echo in np.moveaxis(thick.array, 3, 0)]))
    return Residual(rms / intensity_scale(thick.array), rms / noise if noise else None)


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
