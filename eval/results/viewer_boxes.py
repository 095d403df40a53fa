"""The boxes of a scan that the report's viewer shows: few enough levels and voxels for one page.

Images are gray in 128 steps, one window per echo for all methods; T2 is in steps of 0.4 ms. Both
are kept as what the neighbours do not foretell, which compresses to about half.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray

from eval.results.planes import GAMMA, IMAGES, LEFT, POSTERIOR, SUPERIOR, T2_MAPS, Picture
from mrsr_tf.volume import SCALE_PERCENTILE, Volume

GRAYS = 127  # the brightest; noise alone is more than a step
T2_STEP_MS = 0.4
SAMPLES = 6_400_000  # of all images of a subject: some 3 MB
# What runs down, to the back and to the right of an upright box, as (patient axis, direction).
UPRIGHT = ((SUPERIOR, -1), (POSTERIOR, 1), (LEFT, 1))


@dataclass(frozen=True)
class Box:
    """A part of a scan, turned upright: from superior, anterior and the patient's right on.

    Attributes:
        inside: which (rows, cols, slices).
        axes: the array axes that run to inferior, posterior and left. Nothing is resampled: of an
            oblique scan those nearest.
        steps: along each of them, 1 or -1.
        spacing_mm: along each of them.
        brightest: of each echo, what is shown white.
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
        """(echoes, down, back, left): coded grays of a scan (rows, cols, slices, echoes)."""
        echoes = zip(np.moveaxis(array, 3, 0), self.brightest, strict=True)
        return np.stack([coded(_grays(self.cut(echo) / white)) for echo, white in echoes])

    def t2(self, t2_ms: NDArray[np.floating]) -> NDArray[np.uint8]:
        """(1, down, back, left): coded steps of T2; 0 where it is NaN."""
        steps = np.clip(np.rint(self.cut(t2_ms) / T2_STEP_MS), 1, 255)
        return coded(np.nan_to_num(steps).astype(np.uint8))[None]

    def pictures(
        self, images: Mapping[str, NDArray], t2: Mapping[str, NDArray] | None = None
    ) -> list[Picture]:
        """What to save, of what `images` and `t2` gave."""
        maps = [Picture(T2_MAPS, self.spacing_mm, t2)] if t2 else []
        return [Picture(IMAGES, self.spacing_mm, images), *maps]


def box(scan: Volume, centre: tuple[int, ...], count: int) -> Box:
    """As large a cube in mm about `centre` as `count` scans may take, moved inside.

    Where the scan is narrower than the cube the others grow.

    Args:
        scan: (rows, cols, slices, echoes); its brightness is the window of all.
        centre: (row, col, slice).
        count: how many scans of all its echoes are kept.
    """
    shape = np.array(scan.array.shape[:3])
    sides = np.linspace(0, (shape * scan.spacing_mm).max(), 1000)[:, None]
    lengths = np.clip(np.rint(sides / scan.spacing_mm), 1, shape).astype(int)
    fits = lengths.prod(axis=1) * count * scan.echoes <= SAMPLES
    length = lengths[fits][-1] if fits.any() else lengths[0]
    first = np.clip(centre - length // 2, 0, shape - length)
    orientation = nibabel.io_orientation(scan.affine).astype(int)
    axes = [int(np.argmax(orientation[:, 0] == patient)) for patient, _ in UPRIGHT]
    return Box(
        tuple(slice(start, start + many) for start, many in zip(first, length, strict=True)),
        tuple(axes),
        tuple(
            way * int(orientation[axis, 1]) for axis, (_, way) in zip(axes, UPRIGHT, strict=True)
        ),
        tuple(float(scan.spacing_mm[axis]) for axis in axes),
        tuple(
            float(np.percentile(scan.array[..., echo], SCALE_PERCENTILE)) or 1.0
            for echo in range(scan.echoes)
        ),
    )


def _grays(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(GRAYS * np.clip(image, 0, 1) ** GAMMA).astype(np.uint8)


def coded(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`values` (down, back, left), less the mean of the neighbours above and in front, mod 256.

    Beyond the edge is 0. viewer.js decodes it.
    """
    padded = np.pad(values, ((1, 0), (1, 0), (0, 0))).astype(np.int16)
    foretold = (padded[:-1, 1:] + padded[1:, :-1]) // 2
    return (values - foretold).astype(np.uint8)
