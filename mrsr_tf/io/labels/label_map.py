"""Labels on a grid, in layers since regions may overlap, and their way to the grid of a scan."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

# Assigns a voxel midway between two labels to the higher one, whatever the rounding.
TIE = 1e-6
# Labels that a file scales are off by the rounding of its slope, interpolated ones by far more.
ROUNDING = 1e-3
LARGEST = np.iinfo(np.int32).max


class Label(NamedTuple):
    """The voxels of one value in one layer."""

    layer: int
    value: int


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Labels on a grid. A voxel has one label in each layer, so regions of different ones overlap.

    Attributes:
        layers: int32 arrays of one shape (i, j, k), in any axis order; 0 is background.
        affine: float64 (4, 4), (i, j, k, 1) -> patient position in mm, LPS.
        names: name -> label; empty if nothing names the labels.
    """

    layers: Sequence[NDArray[np.int32]]
    affine: NDArray[np.float64]
    names: Mapping[str, Label]

    @property
    def labels(self) -> list[Label]:
        """The labels that have a voxel."""
        return [
            Label(number, int(value))
            for number, layer in enumerate(self.layers)
            for value in np.unique(layer[layer > 0])
        ]

    def mask(self, labels: Collection[Label]) -> NDArray[np.bool_]:
        """(i, j, k), the voxels of any of the labels."""
        mask = np.zeros(self.layers[0].shape, bool)
        for number, layer in enumerate(self.layers):
            mask |= np.isin(layer, [label.value for label in labels if label.layer == number])
        return mask

    def on_grid(self, volume: Volume) -> "LabelMap":
        """The labels on the grid of a scan: each voxel gets those of the nearest by position.

        Voxels outside of the labels' grid are background.
        """
        layers = [_resample(layer, self.affine, volume) for layer in self.layers]
        return LabelMap(layers, volume.affine, self.names)

    @property
    def drawn_mm3(self) -> float:
        """The size of all labels."""
        voxels = sum(np.count_nonzero(layer) for layer in self.layers)
        return float(voxels * abs(np.linalg.det(self.affine)))


def _resample(
    layer: NDArray[np.int32], affine: NDArray[np.float64], volume: Volume
) -> NDArray[np.int32]:
    to_layer = np.linalg.inv(affine) @ volume.affine
    return ndimage.affine_transform(
        layer,
        to_layer[:3, :3],
        to_layer[:3, 3] + TIE,
        output_shape=volume.array.shape[:3],
        order=0,
        mode="grid-constant",  # a voxel extends half a voxel from its centre, at the border too
    )


def as_labels(values: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """The values of an image as labels; NaN, of which it warns, is background.

    Raises:
        InputError: a value is negative, fractional or beyond 32 bits.
    """
    missing = np.isnan(values)
    if missing.any():
        logging.warning("%d voxels of NaN count as background: %s", missing.sum(), path)
        values = np.where(missing, 0, values)
    integers = values if values.dtype.kind in "iu" else np.rint(values)
    with np.errstate(invalid="ignore"):  # infinity, which is above the largest label
        near = np.abs(values - integers) <= ROUNDING
    wrong = values[~near | (integers < 0) | (integers > LARGEST)]
    if wrong.size:
        raise InputError(f"expected labels that are integers from 0 on, got {wrong[0]:g}: {path}")
    return integers.astype(np.int32)


def stack(masks: Iterable[NDArray[np.bool_]]) -> tuple[list[NDArray[np.int32]], list[Label]]:
    """The layers that hold masks of one shape, as few as their overlaps allow, and their labels.

    Mask n, from 1, has the value n, in the first layer in which it overlaps no other.
    """
    layers: list[NDArray[np.int32]] = []
    labels = []
    for value, mask in enumerate(masks, 1):
        fits = (number for number, layer in enumerate(layers) if not layer[mask].any())
        number = next(fits, len(layers))
        if number == len(layers):
            layers.append(np.zeros(mask.shape, np.int32))
        layers[number][mask] = value
        labels.append(Label(number, value))
    return layers, labels
