"""The operators along the slice axis: thickening of fine slices and interpolation of thick ones.

Every operator is linear and acts on one axis, so each is a matrix: the textbook filter applied to
unit slices. The position of thick slice m of factor f depends on its profile: it is fine position
f*m, but for the mean of f slices it is their middle.

    fine         0   1   2   3   4   5   6
    fir, kspace  0       1       2       3     factor 2
    box            0       1       2       3   half a fine slice on: `first_slice("box", 2)` = 1/2

Beyond its ends a scan is extended by half-sample symmetry (... 1 0 | 0 1 2 ...).
"""

from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsr_tf.errors import InputError

DEFAULT_FACTOR = 2  # fine slices per thick one
FIR_ORDER = 48
Real = TypeVar("Real", float, NDArray[np.float64])


class Profile(StrEnum):
    """What makes a slice thick; see `thicken`."""

    FIR = "fir"
    BOX = "box"
    KSPACE = "kspace"
    KSPACE_HAMMING = "kspace_hamming"


def thicken(
    array: ArrayLike, factor: int = DEFAULT_FACTOR, axis: int = 2, *, profile: str = Profile.FIR
) -> NDArray[np.floating]:
    """Simulates a scan with slices `factor` times as thick.

    Args:
        array: any shape; float32 or float64 are kept, other types become float32 or float64.
        factor: fine slices per thick one, 2 or more.
        axis: the slice axis.
        profile: the slice profile. "fir" is the paper's zero-phase low-pass filter of order 48
            (Hamming window, cut-off 1/factor of Nyquist), followed by every factor-th slice; its
            gain at the Nyquist frequency of the thick slices is 0.50. "box" is the mean of factor
            neighbours, the ideal slice profile of a 2-D scan. "kspace" is a 3-D scan with fewer
            phase encodes: the spectrum along the slices is cut off at the Nyquist frequency of the
            thick slices. The scan is mirrored at its ends, because a slab profile prevents one end
            from wrapping to the other. "kspace_hamming" is the same with a Hamming window over the
            rest of the spectrum.

    Returns:
        The array with ceil(n / factor) slices, the first at fine position `first_slice`.

    Raises:
        InputError: the factor is not an integer of at least 2, or the profile is unknown.
    """
    first_slice(profile, factor)
    return _along(array, axis, lambda slices: thicken_matrix(slices, int(factor), profile))


def first_slice(profile: str, factor: int) -> float:
    """Position of thick slice 0, in fine slices from fine slice 0; the others follow by `factor`.

    Raises:
        InputError: the factor is not an integer of at least 2, or the profile is unknown.
    """
    if profile not in tuple(Profile):
        raise InputError(f"expected a profile of {', '.join(Profile)}, got {profile!r}")
    middle = (_checked(factor) - 1) / 2
    return middle if profile == Profile.BOX else 0.0


def interpolate(
    array: ArrayLike,
    factor: int = DEFAULT_FACTOR,
    axis: int = 2,
    method: str = "tricubic",
    *,
    first: float = 0.0,
) -> NDArray[np.floating]:
    """Interpolates thick slices on the fine grid: slice i of the result lies at i / factor.

    Args:
        array: any shape; float32 or float64 are kept, other types become float32 or float64.
        factor: fine slices per thick one, 2 or more.
        axis: the slice axis.
        method: "tricubic" (a cubic spline along the slices, the only axis that changes) or
            "fourier" (zero-filled spectrum of the mirrored scan).
        first: position of thick slice 0 on the fine grid, see `first_slice`: slice i of the result
            then lies at (i - first) / factor.

    Returns:
        The array with factor * n slices. Beyond the first and the last thick slice they follow the
        half-sample-symmetric extension.

    Raises:
        InputError: the factor is not an integer of at least 2, or the method is unknown.
    """
    matrices = {"tricubic": tricubic_matrix, "fourier": fourier_matrix}
    if method not in matrices:
        raise InputError(f"expected method tricubic or fourier, got {method!r}")
    return _along(array, axis, lambda slices: matrices[method](slices, _checked(factor), first))


@lru_cache(maxsize=16)
def thicken_matrix(slices: int, factor: int, profile: str = Profile.FIR) -> NDArray[np.float64]:
    """(ceil(slices / factor), slices): one row for each thick slice."""
    if profile == Profile.FIR:
        from scipy import ndimage, signal  # takes longer to load than a shipped network

        taps = signal.firwin(FIR_ORDER + 1, 1 / factor)
        return ndimage.correlate1d(np.eye(slices), taps, axis=0, mode="reflect")[::factor]
    places = np.arange(0, slices, factor)
    if profile == Profile.BOX:
        unit = np.eye(slices)
        return np.mean([unit[_reflected(places + n, slices)] for n in range(factor)], axis=0)
    # Relative to the thick Nyquist frequency, 1/(2 factor) per fine slice, whose component is
    # shared by both sides.
    frequency = np.arange(slices) * factor / slices
    gain = np.select([frequency < 1, frequency == 1], [1.0, 0.5], 0.0)
    if profile == Profile.KSPACE_HAMMING:
        gain *= 0.54 + 0.46 * np.cos(np.pi * frequency)
    return _cosines(slices, places, gain)


@lru_cache(maxsize=16)
def tricubic_matrix(slices: int, factor: int, first: float = 0.0) -> NDArray[np.float64]:
    """(factor * slices, slices): the interpolating cubic B-spline at (i - first) / factor."""
    unit, index = np.eye(slices), np.arange(slices)
    knots = 4 * unit + unit[_reflected(index - 1, slices)] + unit[_reflected(index + 1, slices)]
    coefficients = np.linalg.inv(knots / 6)
    positions = (np.arange(factor * slices) - first) / factor
    near = np.floor(positions).astype(int)
    return sum(
        weight[:, None] * coefficients[_reflected(near + offset, slices)]
        for offset, weight in zip((-1, 0, 1, 2), cubic_weights(positions - near), strict=True)
    )


def cubic_weights(t: Real) -> list[Real]:
    """Values of the cubic B-splines of knots -1, 0, 1 and 2 at t in [0, 1) beyond knot 0."""
    return [
        (1 - t) ** 3 / 6,
        (4 - 6 * t**2 + 3 * t**3) / 6,
        (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6,
        t**3 / 6,
    ]


@lru_cache(maxsize=16)
def fourier_matrix(slices: int, factor: int, first: float = 0.0) -> NDArray[np.float64]:
    """(factor * slices, slices): zero-filling of the spectrum of [slices, slices reversed]."""
    return _cosines(slices, (np.arange(factor * slices) - first) / factor, np.ones(slices))


def _cosines(
    slices: int, positions: NDArray[np.number], gain: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(positions, slices): values at the positions, with each frequency multiplied by its gain.

    The spectrum of a mirrored scan consists of cosines with k / (2 slices) cycles per slice: its
    Fourier transform is the DCT-II, and its own Nyquist bin is empty.
    """
    angle = np.pi * np.arange(slices) / slices
    forward = np.cos(angle * (np.arange(slices)[:, None] + 0.5))
    inverse = np.cos(angle * (positions[:, None] + 0.5))
    return (inverse * gain * np.where(angle > 0, 2, 1) / slices) @ forward.T


def _reflected(index: NDArray[np.int_], slices: int) -> NDArray[np.int_]:
    index = index % (2 * slices)
    return np.minimum(index, 2 * slices - 1 - index)


def _checked(factor: int) -> int:
    if int(factor) != factor or factor < 2:
        raise InputError(f"expected a slice factor that is an integer of 2 or more, got {factor}")
    return int(factor)


def _along(array, axis, matrix_for):  # type: ignore[no-untyped-def]
    array = np.asarray(array)
    dtype = np.result_type(array.dtype, np.float32)
    matrix = matrix_for(array.shape[axis]).astype(dtype)
    moved = np.moveaxis(array, axis, -1)
    result = np.empty((*moved.shape[:-1], len(matrix)), dtype)
    # Row by row, so that the copies for the product are small.
    for source, target in zip(np.atleast_2d(moved), np.atleast_2d(result), strict=True):
        source = source.reshape(-1, source.shape[-1]).astype(dtype, copy=False)
        np.matmul(source, matrix.T, out=target.reshape(-1, len(matrix)))
    return np.moveaxis(result, -1, axis)
