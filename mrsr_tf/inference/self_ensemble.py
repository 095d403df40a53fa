"""Self-ensemble: a scan is mirrored in eight ways and each of the mirrored scans is upsampled.

A scan mirrored within its slices is as good a scan as before, and so is one with its slices
reversed (a left knee for a right one). The mean of the predictions, mirrored back, is more exact
than any of them, and their standard deviation shows where they disagree.

Thick slice m of n lies at fine position f*m, so the fine grid of the reversed scan ends where thick
slice 0 lies and begins f-1 slices early:

    thick               0       1       2            factor 2
    fine                0   1   2   3   4   5
    of the reversed     4   3   2   1   0            its own slice 5 would lie at -1

Aligned like this nothing shifts. The last f-1 slices, beyond the last thick one, are taken from the
prediction that was not reversed. (Thick slices in the middle of their fine ones, as of profile box,
have the same grid in both directions.)
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating]
IN_PLANE: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))
SLICES = 2
MEMBERS = 2 * len(IN_PLANE)


def mirrored_predictions(
    upsample: Callable[[Image], Image], thick: Image, factor: int, first_slice: float = 0.0
) -> Iterator[Image]:
    """Upsamples a scan eight times: mirrored along rows, columns and slices.

    Args:
        upsample: from (rows, cols, slices, echoes) to factor times the slices.
        thick: (rows, cols, slices, echoes).
        factor: fine slices per thick one.
        first_slice: position of thick slice 0 on the fine grid, see `slices.first_slice`.

    Yields:
        (rows, cols, factor * slices, echoes), mirrored back; the first was not mirrored at all.
    """
    # The fine slices that the prediction of the reversed scan covers, too.
    covered = round(factor * (thick.shape[SLICES] - 1) + 2 * first_slice) + 1
    for axes in IN_PLANE:
        forward = np.flip(upsample(np.flip(thick, axes)), axes)
        yield forward
        backward = np.flip(upsample(np.flip(thick, (*axes, SLICES))), axes)
        aligned = backward[:, :, :covered][:, :, ::-1]
        yield np.concatenate([aligned, forward[:, :, covered:]], axis=SLICES)


class RunningStats:
    """Mean and standard deviation of images that are added one by one (Welford 1962)."""

    mean: Image
    _count = 0

    def add(self, image: Image) -> None:
        """Adds an image of any shape, the same for all; a voxel that is NaN once stays NaN."""
        self._count += 1
        if self._count == 1:
            self.mean, self._squares = image, np.zeros(image.shape, image.dtype)
            return
        difference = image - self.mean
        self.mean = self.mean + difference / self._count
        self._squares += difference * (image - self.mean)

    @property
    def deviation(self) -> Image:
        """The standard deviation (ddof 1) of two or more images."""
        return np.sqrt(self._squares / (self._count - 1))
