"""What varies within a tissue: periodic random fields, made once and looked up anywhere."""

import numpy as np
from scipy import fft, ndimage

from phantom.anatomy.implicit_surfaces import Array, Points

SIZE = 96  # samples per period


class Texture:
    """A random field of zero mean and unit standard deviation, clipped to +-2.5.

    Args:
        rng: what draws it.
        step_mm: (x, y, z) distance between samples; larger along fibres.
        roughness: power falls as frequency to the -roughness; 0 is white.
    """

    def __init__(
        self, rng: np.random.Generator, step_mm: tuple[float, float, float], roughness: float
    ) -> None:
        white = rng.standard_normal((SIZE, SIZE, SIZE), np.float32)
        k = np.meshgrid(*(fft.fftfreq(SIZE),) * 2, fft.rfftfreq(SIZE), indexing="ij")
        frequency = np.sqrt(sum(axis**2 for axis in k))
        frequency[0, 0, 0] = np.inf
        shaped = fft.rfftn(white) * np.maximum(frequency, 2 / SIZE) ** (-roughness / 2)
        shaped[0, 0, 0] = 0
        field = fft.irfftn(shaped, s=white.shape)
        self._field = np.clip(field / field.std(), -2.5, 2.5).astype(np.float32)
        self._per_mm = [1 / step for step in step_mm]

    def at(self, points: Points, which: np.ndarray | None = None) -> Array:
        """The field at `points`, or at those of index `which`."""
        axes = [axis if which is None else axis[which] for axis in (points.x, points.y, points.z)]
        at = np.stack([axis * scale for axis, scale in zip(axes, self._per_mm, strict=True)])
        return ndimage.map_coordinates(self._field, at, order=1, mode="grid-wrap")
