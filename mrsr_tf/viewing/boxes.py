"""The part of a scan that a viewer shows: few enough gray levels and voxels for one page.

Images are stored as gray levels, in one window per echo for all methods; T2 in steps of 0.4 ms.
"""

from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.viewing.orientation import upright_orientation
from mrsr_tf.volume import SCALE_PERCENTILE, Volume

GAMMA = 0.6  # makes dark and bright tissue visible in one window
WHITE = 127  # the brightest gray level of a lossless image; noise alone exceeds one step
T2_STEP_MS = 0.4
SAMPLES = 6_400_000  # budget for all images of a subject, about 3 MB compressed


@dataclass(frozen=True)
class Box:
    """A part of a scan, turned upright: the first voxel is superior, anterior and right.

    Attributes:
        inside: slices of (rows, cols, slices).
        orientation: see `mrsr_tf.viewing.orientation.upright_orientation`.
        spacing_mm: (down, back, left).
        brightest: (echoes,) the intensity shown white.
    """

    inside: tuple[slice, ...]
    orientation: NDArray[np.int_]
    spacing_mm: tuple[float, ...]
    brightest: NDArray[np.floating]

    def cut(self, array: NDArray) -> NDArray:
        """(down, back, left[, echoes]): the box of an array (rows, cols, slices[, echoes])."""
        return nibabel.apply_orientation(array[self.inside], self.orientation)

    def images(self, array: NDArray[np.floating], white: int = WHITE) -> NDArray[np.uint8]:
        """(echoes, down, back, left): levels up to `white` of (rows, cols, slices, echoes)."""
        gray = white * np.clip(self.cut(array) / self.brightest, 0, 1) ** GAMMA
        return np.moveaxis(np.rint(gray).astype(np.uint8), 3, 0)

    def t2(self, t2_ms: NDArray[np.floating]) -> NDArray[np.uint8]:
        """(1, down, back, left): T2 in steps of `T2_STEP_MS`; 0 where it is NaN."""
        steps = np.clip(np.rint(self.cut(t2_ms) / T2_STEP_MS), 1, 255)
        return np.nan_to_num(steps).astype(np.uint8)[None]


def box_around(scan: Volume, centre: tuple[int, ...], count: int, samples: int = SAMPLES) -> Box:
    """The largest cube in mm about `centre` within a number of samples, moved inside the scan.

    Where the scan is narrower than the cube, the other sides grow.

    Args:
        scan: (rows, cols, slices, echoes); its brightness sets the window of all images.
        centre: (row, col, slice).
        count: how many scans are saved, each with all its echoes.
        samples: the budget for all of them.
    """
    shape = np.array(scan.array.shape[:3])
    sides_mm = np.linspace(0, (shape * scan.spacing_mm).max(), 1000)[:, None]
    lengths = np.clip(np.rint(sides_mm / scan.spacing_mm), 1, shape).astype(int)
    fits = lengths.prod(axis=1) * count * scan.echoes <= samples
    length = lengths[fits][-1] if fits.any() else lengths[0]
    start = np.clip(centre - length // 2, 0, shape - length)
    orientation, spacing_mm = upright_orientation(scan)
    white = np.percentile(scan.array, SCALE_PERCENTILE, axis=(0, 1, 2))
    return Box(
        inside=tuple(map(slice, start, start + length)),
        orientation=orientation,
        spacing_mm=tuple(spacing_mm.tolist()),
        brightest=np.where(white > 0, white, 1).astype(scan.array.dtype),
    )
