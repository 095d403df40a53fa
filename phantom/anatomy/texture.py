"""Variation within a tissue: periodic random fields that are computed once and then sampled."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from phantom.anatomy.implicit_surfaces import Array, Points

SAMPLES_PER_PERIOD = 96


class Texture:
    """A random field of zero mean and unit standard deviation, clipped to [-2.5, 2.5].

    Args:
        rng: source of the random values.
        step_mm: distance between samples along (x, y, z); larger along fibres.
        roughness: the power falls as the frequency to the power of -roughness; 0 is white noise.
    """

    def __init__(
        self, rng: np.random.Generator, step_mm: tuple[float, float, float], roughness: float
    ) -> None:
        n = SAMPLES_PER_PERIOD
        noise = rng.standard_normal((n, n, n), np.float32)
        k = np.meshgrid(*(fft.fftfreq(n),) * 2, fft.rfftfreq(n), indexing="ij")
        frequency = np.sqrt(sum(axis**2 for axis in k))
        frequency[0, 0, 0] = np.inf
        spectrum = fft.rfftn(noise) * np.maximum(frequency, 2 / n) ** (-roughness / 2)
        spectrum[0, 0, 0] = 0
        field = fft.irfftn(spectrum, s=noise.shape)
        self._field = np.clip(field / field.std(), -2.5, 2.5).astype(np.float32)
        self._samples_per_mm = [1 / step for step in step_mm]

    def sample(self, points: Points, indices: NDArray[np.intp] | None = None) -> Array:
        """The field at all points, or at those with the given indices."""
        points = points if indices is None else points.take(indices)
        axes = (points.x, points.y, points.z)
        scaled = [axis * scale for axis, scale in zip(axes, self._samples_per_mm, strict=True)]
        return ndimage.map_coordinates(self._field, np.stack(scaled), order=1, mode="grid-wrap")
