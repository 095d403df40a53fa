"""Variation within a tissue: periodic fields that are computed once and averaged over voxels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from phantom.anatomy.implicit_surfaces import Array, Vector

Tile = NDArray[np.float32]


class Texture:
    """A field that repeats along its two or three axes.

    Args:
        tile: one period of the field.
        step_mm: distance between its samples along each axis.
    """

    def __init__(self, tile: Tile, step_mm: Vector) -> None:
        self.step_mm = tuple(step_mm)
        self._averaged: dict[tuple[float, ...], Tile] = {}
        self._tile = tile

    def sample(self, coordinates: Sequence[Array], size_mm: Vector | None = None) -> Array:
        """The field at points, or its mean over boxes around them.

        A point lies between the samples of the tile, and is interpolated linearly. A box is that of
        the nearest sample, which is closer than half a step.

        Args:
            coordinates: along each axis, mm, arrays (n,).
            size_mm: edges of the boxes along each axis.

        Returns:
            (n,) float32.
        """
        scaled = [
            axis * np.float32(1 / step)
            for axis, step in zip(coordinates, self.step_mm, strict=True)
        ]
        if size_mm is None:
            return ndimage.map_coordinates(
                self._tile, np.stack(scaled), np.float32, order=1, mode="grid-wrap"
            )
        tile = self._mean_over(tuple(size_mm))
        index = np.zeros((), np.int32)
        for axis, samples in zip(scaled, tile.shape, strict=True):
            index = index * samples + np.floor(axis + np.float32(0.5)).astype(np.int32) % samples
        return tile.ravel().take(index)

    def _mean_over(self, size_mm: tuple[float, ...]) -> Tile:
        """The tile averaged over a box, whose transform is a product of sinc functions."""
        if size_mm not in self._averaged:
            spectrum = fft.rfftn(self._tile)
            for axis, (size, step) in enumerate(zip(size_mm, self.step_mm, strict=True)):
                samples = self._tile.shape[axis]
                is_last = axis == self._tile.ndim - 1
                frequency = (fft.rfftfreq if is_last else fft.fftfreq)(samples, step)
                response = np.sinc(frequency * size).astype(np.float32)
                others = [a for a in range(self._tile.ndim) if a != axis]
                spectrum *= np.expand_dims(response, others)
            averaged = fft.irfftn(spectrum, s=self._tile.shape)
            self._averaged[size_mm] = averaged.astype(np.float32)
        return self._averaged[size_mm]


def random_texture(
    rng: np.random.Generator, step_mm: Vector, roughness: float, samples: int = 96
) -> Texture:
    """A random field of zero mean and unit standard deviation, clipped to [-2.5, 2.5].

    Args:
        rng: source of the random values.
        step_mm: distance between samples along (x, y, z); larger along fibres.
        roughness: the power falls as the frequency to the power of -roughness; 0 is white noise.
        samples: in a period of each axis.
    """
    noise = rng.standard_normal((samples,) * 3, np.float32)
    k = np.meshgrid(*(fft.fftfreq(samples),) * 2, fft.rfftfreq(samples), indexing="ij")
    frequency = np.sqrt(sum(axis**2 for axis in k))
    frequency[0, 0, 0] = np.inf
    spectrum = fft.rfftn(noise) * np.maximum(frequency, 2 / samples) ** (-roughness / 2)
    spectrum[0, 0, 0] = 0
    field = fft.irfftn(spectrum, s=noise.shape)
    return Texture(np.clip(field / field.std(), -2.5, 2.5).astype(np.float32), step_mm)


def foam(
    rng: np.random.Generator,
    *,
    dimensions: int,
    cell_mm: float,
    wall_mm: float,
    step_mm: float,
    samples: int,
) -> Tile:
    """The walls between cells that fill space, as fascicles and lobules do: a Voronoi diagram.

    A wall lies half-way between the two nearest centres, at a distance of
    (d2^2 - d1^2) / (2 |c2 - c1|).

    Args:
        rng: source of the cells' random centres.
        dimensions: 2 for parallel columns, 3 for lobules.
        cell_mm: edge of the square or cube that is as large as a mean cell.
        wall_mm: mean thickness of a wall. Most are thinner: it is a product of two numbers of 0.2
            to 1.8, one of each cell.
        step_mm: distance between samples.
        samples: in a period of each axis.

    Returns:
        The share of each sample that is wall, 0 to 1.
    """
    shape, period_mm = (samples,) * dimensions, samples * step_mm
    count = max(4, round((period_mm / cell_mm) ** dimensions))
    centres = rng.uniform(0, period_mm, (count, dimensions))
    relative_thickness = rng.uniform(0.2, 1.8, count)
    positions = np.indices(shape).reshape(dimensions, -1).T * step_mm
    distance, index = cKDTree(centres, boxsize=period_mm).query(positions, k=2, workers=-1)
    apart = np.abs(centres[index[:, 0]] - centres[index[:, 1]])
    apart = np.linalg.norm(np.minimum(apart, period_mm - apart), axis=1)
    to_wall = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * apart)
    half_mm, edge = wall_mm * relative_thickness[index].prod(axis=1) / 2, step_mm / 2
    covered = np.minimum(edge, to_wall + half_mm) - np.maximum(-edge, to_wall - half_mm)
    return np.clip(covered / step_mm, 0, 1).astype(np.float32).reshape(shape)
