"""The boxes of a scan that the viewer shows: few enough gray levels and voxels for one page.

Images have 128 gray levels, in one window per echo for all methods; T2 has steps of 0.4 ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray

from eval.results.planes import GAMMA, IMAGES, LEFT, POSTERIOR, SUPERIOR, T2_MAPS, Picture
from mrsr_tf.volume import SCALE_PERCENTILE, Volume

WHITE = 127  # the brightest gray level; noise alone exceeds one step
T2_STEP_MS = 0.4
SAMPLES = 6_400_000  # budget for all images of a subject, about 3 MB compressed
# The patient axes that run down, back and left in an upright box, as (axis, direction).
UPRIGHT = ((SUPERIOR, -1), (POSTERIOR, 1), (LEFT, 1))


@dataclass(frozen=True)
class Box:
    """A part of a scan, turned upright: the first voxel is superior, anterior and right.

    Attributes:
        inside: slices of (rows, cols, slices).
        axes: the array axes that run to inferior, posterior and left. Nothing is resampled: an
            oblique scan uses the nearest axes.
        steps: the direction along each of them, 1 or -1.
        spacing_mm: along each of them.
        brightest: the intensity shown white, for each echo.
    """

    inside: tuple[slice, ...]
    axes: tuple[int, ...]
    steps: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    brightest: tuple[float, ...]

    def cut(self, array: NDArray) -> NDArray:
        """(down, back, left): the box of an array (rows, cols, slices)."""
        turned = array[self.inside].transpose(self.axes)
        return turned[tuple(slice(None, None, step) for step in self.steps)]

    def images(self, array: NDArray[np.floating]) -> NDArray[np.uint8]:
        """(echoes, down, back, left): gray levels of a scan (rows, cols, slices, echoes)."""
        echoes = zip(np.moveaxis(array, 3, 0), self.brightest, strict=True)
        return np.stack([_gray_levels(self.cut(echo) / brightest) for echo, brightest in echoes])

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
    orientation = nibabel.io_orientation(scan.affine).astype(int)
    axes = [int(np.argmax(orientation[:, 0] == patient)) for patient, _ in UPRIGHT]
    directions = [direction for _, direction in UPRIGHT]
    white = np.percentile(scan.array, SCALE_PERCENTILE, axis=(0, 1, 2))
    return Box(
        inside=tuple(map(slice, start, start + length)),
        axes=tuple(axes),
        steps=tuple(int(step) for step in directions * orientation[axes, 1]),
        spacing_mm=tuple(float(scan.spacing_mm[axis]) for axis in axes),
        brightest=tuple(float(intensity) or 1.0 for intensity in white),
    )


def _gray_levels(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(WHITE * np.clip(image, 0, 1) ** GAMMA).astype(np.uint8)
