"""The grid of patches over a volume, and the patches themselves.

Along each axis patches start at every multiple of the stride that leaves room for a whole patch.
If these do not reach the end, one more patch ends there. For 9 slices, patch 4, stride 3:

    slice      0   1   2   3   4   5   6   7   8
    at 0     |---------------|
    at 3                 |---------------|
    at 5                         |---------------|     the extra patch at the end

The grid has every combination of the starts along three axes: 25 x 25 x 9 for 416 x 416 x 160.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mrsr_tf.errors import InputError


def positions(
    shape: Sequence[int],
    patch_size: int | Sequence[int] = 32,
    stride: int | Sequence[int] = 16,
) -> NDArray[np.int64]:
    """The first voxels of the patches that cover a volume.

    Args:
        shape: (rows, cols, slices).
        patch_size: in voxels, one number for all axes or one for each.
        stride: like `patch_size`; one larger than the patch leaves voxels out.

    Returns:
        (n, 3), ascending, the slice index varies fastest.

    Raises:
        InputError: `shape` does not have three axes or is smaller than a patch, or the patch or
            the stride is not positive.
    """
    if len(shape) != 3:
        raise InputError(f"expected a shape (rows, cols, slices), got {tuple(shape)}")
    size, step = triple(patch_size, "patch size"), triple(stride, "stride")
    if any(length < needed for length, needed in zip(shape, size, strict=True)):
        raise InputError(f"expected a volume of at least one patch {size}, got {tuple(shape)}")
    starts = [_starts(*axis) for axis in zip(shape, size, step, strict=True)]
    return np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3)


def cut(
    array: NDArray[np.generic],
    positions: NDArray[np.integer],
    patch_size: int | Sequence[int] = 32,
) -> NDArray[np.generic]:
    """Copies the patches that start at the given voxels.

    Args:
        array: (rows, cols, slices) or (rows, cols, slices, echoes).
        positions: (n, 3), first voxels.
        patch_size: in voxels, one number for all axes or one for each.

    Returns:
        (n, *patch_size) or (n, *patch_size, echoes), of the array's type.

    Raises:
        InputError: a patch is not inside the array.
    """
    size = triple(patch_size, "patch size")
    room = np.subtract(array.shape[:3], size)
    outside = ((positions < 0) | (positions > room)).any(axis=1)
    if outside.any():
        raise InputError(
            f"expected patches {size} inside {array.shape[:3]}, got one at "
            f"{tuple(positions[outside][0].tolist())}"
        )
    windows = sliding_window_view(array, size, axis=(0, 1, 2))
    if array.ndim == 4:
        windows = np.moveaxis(windows, 3, -1)
    return windows[tuple(positions.T)]


def triple(value: int | Sequence[int], name: str) -> tuple[int, int, int]:
    """One number for each of rows, columns and slices.

    Raises:
        InputError: it is neither one positive whole number nor three.
    """
    numbers = np.ravel(value)
    if numbers.size not in (1, 3) or (numbers < 1).any() or (numbers % 1 != 0).any():
        raise InputError(f"expected a {name} of one positive whole number or three, got {value}")
    rows, cols, slices = np.broadcast_to(numbers, 3).astype(int).tolist()
    return rows, cols, slices


def _starts(length: int, size: int, stride: int) -> NDArray[np.int64]:
    starts = np.arange(0, length - size + 1, stride)
    flush = length - size
    return starts if starts[-1] == flush else np.append(starts, flush)
