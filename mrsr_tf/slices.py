"""The operators along the slice axis: fine slices to thick ones, and thick ones back.

Every operator is linear and acts on one axis, so each is a matrix, made by applying the textbook
filter to the unit slices. Thick slice m of factor f sits at fine position f*m:

    fine    0   1   2   3   4   5   6
    thick   0       1       2       3        factor 2

Beyond its ends a scan is continued by half-sample symmetry (... 1 0 | 0 1 2 ...).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal

from mrsr_tf.errors import InputError

FIR_ORDER = 48


def thicken(array: ArrayLike, factor: int = 2, axis: int = 2) -> NDArray[np.floating]:
    """Simulates a scan of slices `factor` times as thick.

    A zero-phase low-pass of order 48 (Hamming window, cut-off 1/factor of Nyquist) along `axis`,
    then every `factor`-th slice from slice 0.

    Args:
        array: any shape; float32 or float64 keep their type.
        factor: 2 or more.
        axis: the slice axis.

    Returns:
        The array with ceil(n / factor) slices.

    Raises:
        InputError: the factor is not an integer of at least 2.
    """
    return _along(array, axis, lambda slices: thicken_matrix(slices, _checked(factor)))


def interpolate(
    array: ArrayLike, factor: int = 2, axis: int = 2, method: str = "tricubic"
) -> NDArray[np.floating]:
    """Brings thick slices back to the fine grid: slice i of the result lies at i / factor.

    Args:
        array: any shape; float32 or float64 keep their type.
        factor: 2 or more.
        axis: the slice axis.
        method: "tricubic" (only the slice axis changes, so a cubic spline along it is all of it)
            or "fourier" (zero-filled spectrum of the mirror-padded scan).

    Returns:
        The array with factor * n slices; the last factor - 1 lie beyond the last thick one.

    Raises:
        InputError: the factor is not an integer of at least 2, or the method is unknown.
    """
    matrices = {"tricubic": tricubic_matrix, "fourier": fourier_matrix}
    if method not in matrices:
        raise InputError(f"expected method tricubic or fourier, got {method!r}")
    return _along(array, axis, lambda slices: matrices[method](slices, _checked(factor)))


@lru_cache(maxsize=16)
def thicken_matrix(slices: int, factor: int) -> NDArray[np.float64]:
    """(ceil(slices / factor), slices): the FIR low-pass and the choice of every factor-th row."""
    taps = signal.firwin(FIR_ORDER + 1, 1 / factor)
    return ndimage.correlate1d(np.eye(slices), taps, axis=0, mode="reflect")[::factor]


@lru_cache(maxsize=16)
def tricubic_matrix(slices: int, factor: int) -> NDArray[np.float64]:
    """(factor * slices, slices): the interpolating cubic B-spline at i / factor."""
    unit, index = np.eye(slices), np.arange(slices)
    knots = 4 * unit + unit[_reflected(index - 1, slices)] + unit[_reflected(index + 1, slices)]
    coefficients = np.linalg.inv(knots / 6)
    positions = np.arange(factor * slices) / factor
    near = np.floor(positions).astype(int)
    t = positions - near
    weights = [
        (1 - t) ** 3,
        4 - 6 * t**2 + 3 * t**3,
        1 + 3 * t + 3 * t**2 - 3 * t**3,
        t**3,
    ]
    return sum(
        weight[:, None] / 6 * coefficients[_reflected(near + offset, slices)]
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True)
    )


@lru_cache(maxsize=16)
def fourier_matrix(slices: int, factor: int) -> NDArray[np.float64]:
    """(factor * slices, slices): zero-filling of the spectrum of [slices, slices reversed]."""
    mirrored = np.concatenate([np.eye(slices), np.eye(slices)[::-1]])
    return signal.resample(mirrored, 2 * slices * factor, axis=0)[: slices * factor]


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
    return np.moveaxis(moved.astype(dtype) @ matrix.T, -1, axis)
