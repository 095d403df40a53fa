"""What the network is compared with: interpolation of the thick slices, and sparse codes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.sparse.scsr import ScSR
from mrsr_tf.errors import InputError
from mrsr_tf.mri import slices

__all__ = ["ScSR", "fi", "tci"]


def tci(thick: ArrayLike, factor: int) -> NDArray[np.floating]:
    """Tricubic interpolation: a cubic spline, along slices because only they change.

    Args:
        thick: (rows, cols, slices), one echo.
        factor: fine slices per thick one.

    Returns:
        (rows, cols, factor x slices), not clipped.

    Raises:
        InputError: not three axes, or a factor that is not an integer of at least 2.
    """
    return slices.interpolate(_one_echo(thick), factor, method="tricubic")


def fi(thick: ArrayLike, factor: int) -> NDArray[np.floating]:
    """Fourier interpolation: zero-filling along slices, mirrored at the ends. As `tci`."""
    return slices.interpolate(_one_echo(thick), factor, method="fourier")


def _one_echo(thick: ArrayLike) -> NDArray:
    thick = np.asarray(thick)
    if thick.ndim != 3:
        raise InputError(f"expected one echo (rows, cols, slices), got {thick.shape}")
    return thick
