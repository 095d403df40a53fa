"""The boxes of a scan that the viewer shows: few enough gray levels and voxels for one page.

Images have 128 gray levels, in one window per echo for all methods; T2 has steps of 0.4 ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray

from eval.results.planes import GAMMA, IMAGES, T2_MAPS, Picture, upright_orientation
from mrsr_tf.volume import SCALE_PERCENTILE, Volume

WHITE = 127  # the brightest gray level; noise alone exceeds one step
T2_STEP_MS = 0.4
SAMPLES = 6_400_000  # budget for all images of a subject, about 3 MB compressed


@dataclass(frozen=True)
class Box:
    """A part of a scan, turned upright: the first voxel is superior, anterior and right.

    Attributes:
        inside: slices of (rows, cols, slices).
        orientation: see `eval.results.planes.upright_orientation`.
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

    def images(self, array: NDArray[np.floating]) -> NDArray[np.uint8]:
        """(echoes, down, back, left): gray levels of a scan (rows, cols, slices, echoes)."""
        gray = WHITE * np.clip(self.cut(array) / self.brightest, 0, 1) ** GAMMA
        return np.moveaxis(np.rint(gray).astype(np.uint8), 3, 0)

    def t2(self, t2_ms: NDArray[np.floating]) -> NDArray[np.uint8]:
        """(1, down, back, left): T2 in steps of `T2_STEP_MS`; 0 where it is NaN."""
        steps = np.clip(np.rint(self.cut(t2_ms) / T2_STEP_MS), 1, 255)
        return np.nan_to_num(steps).astype(np.uint8)[None]

    def pictures(
        self, images: Mapping[str, NDArray], t2: Mapping[str, NDArray] | None = None
    ) -> list[Picture]:
        """The pictures to save, from arrays of `images` and `t2`."""
        maps = [Picture(T2_MAPS, self.spacing_mm, t2)] if t2 else []
        return [Picture(IMAGES, self.spacing_mm, images), *maps]


def box_around(scan: Volume, centre: tuple[int, ...], count: int) -> Box:
    """The largest cube in mm about `centre` that fits `SAMPLES`, moved inside the scan.

    Where the scan is narrower than the cube, the other sides grow.

    Args:
        scan: (rows, cols, slices, echoes); its brightness sets the window of all images.
        centre: (row, col, slice).
        count: how many scans are saved, each with all its echoes.
    """
    shape = np.array(scan.array.shape[:3])
    sides_mm = np.linspace(0, (shape * scan.spacing_mm).max(), 1000)[:, None]
    lengths = np.clip(np.rint(sides_mm / scan.spacing_mm), 1, shape).astype(int)
    fits = lengths.prod(axis=1) * count * scan.echoes <= SAMPLES
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
