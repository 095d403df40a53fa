"""The same scan, mirrored eight ways and super-resolved each time: its mean, and how far they part.

A scan mirrored within the slice is a scan as good as before, and so is one whose slices are
reversed (a left knee for a right one). Thick slice m of n sits at fine position f*m, so the
reversed scan's fine grid ends where thick slice 0 sits and begins f-1 slices early:

    thick               0       1       2            factor 2
    fine                0   1   2   3   4   5
    of the reversed     4   3   2   1   0            its own slice 5 would lie at -1

Reversed back and aligned so, nothing shifts; the last f-1 slices, beyond the last thick one, are
those of the scan that was not reversed. (Thick slices that sit in the middle of their fine ones,
of profile box, have both grids alike.)
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating]
IN_PLANE: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))
SLICES = 2
MEMBERS = 2 * len(IN_PLANE)


def members(
    resolve: Callable[[Image], Image], thick: Image, factor: int, first_slice: float = 0.0
) -> Iterator[Image]:
    """Super-resolves a scan eight times: mirrored along rows, columns and slices.

    Args:
        resolve: from (rows, cols, slices, echoes) to factor times the slices.
        thick: (rows, cols, slices, echoes).
        factor: fine slices per thick one.
        first_slice: where thick slice 0 sits on the fine grid, see `slices.first_slice`.

    Yields:
        (rows, cols, factor * slices, echoes), each as `thick` lies; the first was not mirrored.
    """
    # Fine slices that the reversed scan has, too.
    within = round(factor * (thick.shape[SLICES] - 1) + 2 * first_slice) + 1
    for axes in IN_PLANE:
        forward = np.flip(resolve(np.flip(thick, axes)), axes)
        yield forward
        backward = np.flip(resolve(np.flip(thick, (*axes, SLICES))), axes)
        reversed_back = backward[:, :, :within][:, :, ::-1]
        yield np.concatenate([reversed_back, forward[:, :, within:]], axis=SLICES)


class Spread:
    """Mean and standard deviation of images that come one after the other (Welford 1962)."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._count = 0

    def add(self, image: Image) -> None:
        """Takes one more, of any shape, the same each time; NaN stays NaN."""
        self._count += 1
        if self._count == 1:
            self._mean, self._squares = image, np.zeros(image.shape, image.dtype)
            return
        difference = image - self._mean
        self._mean = self._mean + difference / self._count
        self._squares += difference * (image - self._mean)

    @property
    def mean(self) -> Image:
        """The mean of all."""
        return self._mean

    @property
    def deviation(self) -> Image:
        """Their standard deviation (ddof 1)."""
        return np.sqrt(self._squares / (self._count - 1))
