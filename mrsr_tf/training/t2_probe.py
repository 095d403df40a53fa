"""A subject of known T2 to measure during training whether T2 improves along with the loss.

Patches cannot show this, because records hold neither echo times nor tissues. A whole scan with a
phantom's truth/ beside it is therefore thickened, super-resolved and mapped as any scan would be,
in a box around its cartilage that is small enough to take seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans, truth_files
from mrsr_tf.io.nifti import read_map
from mrsr_tf.mri import slices
from mrsr_tf.mri.dess import t2_map
from mrsr_tf.mri.t2 import sequence
from mrsr_tf.network.architecture import space_to_depth_of
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.volume import Volume

# The paper's network needs 4 MFLOP per voxel: 2 TFLOP once per epoch, which takes seconds on a GPU
# and half a minute on two cores.
LARGEST_BOX_VOXELS = 512 * 1024
MARGIN_VOXELS = 8
REGION = "cartilage"


@dataclass(frozen=True)
class T2Probe:
    """The box around the cartilage of a subject of known T2.

    Attributes:
        thick: the scan, thickened: (rows, cols, thick slices, 2).
        true_t2_ms: (rows, cols, slices).
        cartilage: (rows, cols, slices) mask.
        slice_factor: fine slices per thick slice.
        sequence: keyword arguments of `dess.t2_map`.
    """

    thick: NDArray[np.float32]
    true_t2_ms: NDArray[np.floating]
    cartilage: NDArray[np.bool_]
    slice_factor: int
    sequence: dict[str, Any]

    def network_t2_ms(self, model: keras.Model) -> NDArray[np.floating]:
        """Returns T2 (rows, cols, slices) of the super-resolved scan; NaN where invalid."""
        blocks = space_to_depth_of(model)
        resolver = SuperResolver(model.get_weights(), self.slice_factor, blocks)
        return self._t2_ms(resolver.super_resolve(tf.constant(self.thick)).numpy())

    def tci_t2_ms(self) -> NDArray[np.floating]:
        """Returns T2 (rows, cols, slices) of the interpolated scan; NaN where invalid."""
        return self._t2_ms(slices.interpolate(self.thick, self.slice_factor))

    def errors(self, t2_ms: NDArray[np.floating]) -> dict[str, float]:
        """Returns mean error and mean absolute error in cartilage, in ms, and the invalid share."""
        difference = (t2_ms - self.true_t2_ms)[self.cartilage]
        return {
            "difference_ms": float(np.nanmean(difference)),
            "error_ms": float(np.nanmean(np.abs(difference))),
            "invalid": float(np.mean(np.isnan(difference))),
        }

    def plane(self, t2_ms: NDArray[np.floating]) -> NDArray[np.floating]:
        """Returns the (rows, cols) slice with most cartilage, NaN outside of it."""
        best = int(self.cartilage.sum((0, 1)).argmax())
        return np.where(self.cartilage[..., best], t2_ms[..., best], np.nan)

    def _t2_ms(self, fine: NDArray[np.floating]) -> NDArray[np.floating]:
        s1, s2 = np.moveaxis(fine[:, :, : self.cartilage.shape[2]], 3, 0)
        return t2_map(s1, s2, **self.sequence, method="exact")


def read_t2_probe(folder: Path, slice_factor: int) -> T2Probe:
    """Reads a subject of fine slices and two echoes, as `phantom.simulate` writes it.

    Raises:
        InputError: there is no scan of two echoes, no truth/ beside it, or no cartilage in it.
    """
    scan = scans.read_scan(folder)
    if not truth_files.truth_path(folder, "").is_dir():
        raise InputError(
            f"expected a scan of both echoes and truth/ beside it, to measure T2 on: {folder}"
        )
    true_t2_ms = read_map(truth_files.truth_path(folder, truth_files.T2), scan)
    cartilage = _read_cartilage(folder, scan)
    box = _box(cartilage, slice_factor)
    thick = slices.thicken(scan.array[box], slice_factor)
    return T2Probe(thick, true_t2_ms[box], cartilage[box], slice_factor, sequence(scan, folder))


def _read_cartilage(folder: Path, scan: Volume) -> NDArray[np.bool_]:
    labels = read_map(truth_files.truth_path(folder, truth_files.LABELS), scan)
    names = truth_files.label_names(folder)
    cartilage = np.isin(labels, [label for name, label in names.items() if REGION in name])
    if not cartilage.any():
        raise InputError(f"expected {REGION} in the subject to measure T2 on, found none: {folder}")
    return cartilage


def _box(cartilage: NDArray[np.bool_], slice_factor: int) -> tuple[slice, slice, slice]:
    """Returns a box around the cartilage within the slice, over as many slices as are allowed.

    Its slices are centred on the one with most cartilage. It begins on a thick slice, one of which
    sits at every `slice_factor`-th fine slice.
    """
    rows, cols = (
        slice(max(places.min() - MARGIN_VOXELS, 0), places.max() + MARGIN_VOXELS + 1)
        for places in (np.flatnonzero(cartilage.any(axes)) for axes in ((1, 2), (0, 2)))
    )
    box = cartilage[rows, cols]
    allowed = LARGEST_BOX_VOXELS // (box.shape[0] * box.shape[1])
    count = min(max(allowed // slice_factor, 4) * slice_factor, box.shape[2])
    start = int(box.sum((0, 1)).argmax()) - count // 2
    start = min(max(start, 0), box.shape[2] - count) // slice_factor * slice_factor
    return rows, cols, slice(start, start + count)
