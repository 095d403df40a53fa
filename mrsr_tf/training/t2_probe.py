"""A subject whose T2 is known, watched while training: does T2 get better, not only the loss?

Patches cannot tell: a record holds neither echo times nor tissues. So one whole scan with a
phantom's truth/ beside it is thickened, super-resolved and mapped as any scan would be, on a box
around its cartilage that is small enough to take seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans, truth_files
from mrsr_tf.io.nifti import read_map
from mrsr_tf.mri import slices
from mrsr_tf.mri.dess import t2_map
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.volume import Volume

# The paper's network takes 4 MFLOP per voxel: 2 TFLOP, seconds on a GPU and half a minute on two
# cores, once per epoch.
LARGEST_BOX_VOXELS = 512 * 1024
MARGIN_VOXELS = 8
REGION = "cartilage"


@dataclass(frozen=True)
class KnownSubject:
    """The watched part of the subject.

    Attributes:
        thick: the scan, thickened: (rows, cols, thick slices, 2).
        true_t2_ms: (rows, cols, slices).
        inside: which voxels are cartilage.
        slice_factor: of the network.
        sequence: what `dess.t2_map` needs to know.
    """

    thick: NDArray[np.float32]
    true_t2_ms: NDArray[np.floating]
    inside: NDArray[np.bool_]
    slice_factor: int
    sequence: dict[str, Any]

    def t2_ms(self, resolver: SuperResolver) -> NDArray[np.floating]:
        """(rows, cols, slices) T2 of the scan super-resolved; NaN: invalid."""
        return self._mapped(resolver.super_resolve(tf.constant(self.thick)).numpy())

    def tci_t2_ms(self) -> NDArray[np.floating]:
        """(rows, cols, slices) T2 of the scan interpolated."""
        return self._mapped(slices.interpolate(self.thick, self.slice_factor))

    def errors(self, t2_ms: NDArray[np.floating]) -> dict[str, float]:
        """In cartilage: the mean difference from the true T2, and the mean of its size, in ms."""
        difference = (t2_ms - self.true_t2_ms)[self.inside]
        return {
            "difference_ms": float(np.nanmean(difference)),
            "error_ms": float(np.nanmean(np.abs(difference))),
            "invalid": float(np.mean(np.isnan(difference))),
        }

    def plane(self, t2_ms: NDArray[np.floating]) -> NDArray[np.floating]:
        """The (rows, cols) slice with most cartilage, NaN outside it."""
        best = int(self.inside.sum((0, 1)).argmax())
        return np.where(self.inside[..., best], t2_ms[..., best], np.nan)

    def _mapped(self, fine: NDArray[np.floating]) -> NDArray[np.floating]:
        s1, s2 = np.moveaxis(fine[:, :, : self.inside.shape[2]], 3, 0)
        return t2_map(s1, s2, **self.sequence, method="exact")


def read_known_subject(folder: Path, slice_factor: int) -> KnownSubject:
    """Reads a subject as `phantom.simulate` writes it, of fine slices and both echoes.

    Raises:
        InputError: no scan of two echoes, no truth/ beside it, or no cartilage in it.
    """
    scan = scans.read_scan(folder)
    times = (scan.echo_times_ms, scan.repetition_time_ms, scan.flip_angle_deg)
    if scan.echoes != 2 or None in times or not truth_files.truth_path(folder, "").is_dir():
        raise InputError(
            f"expected a scan of both echoes, its times and flip angle, and truth/ beside it, to "
            f"watch T2 by: {folder}"
        )
    true_t2 = read_map(truth_files.truth_path(folder, truth_files.T2), scan)
    inside = _cartilage(folder, scan)
    box = _box(inside, slice_factor)
    return KnownSubject(
        slices.thicken(scan.array[box], slice_factor),
        true_t2[box],
        inside[box],
        slice_factor,
        _sequence(scan),
    )


def renew(resolver: SuperResolver, weights: list[NDArray[np.float32]]) -> None:
    """Gives a resolver other weights; one made anew would be traced anew, every epoch."""
    values = [*weights[0::2], *weights[1::2]]
    for variable, value in zip([*resolver.kernels, *resolver.biases], values, strict=True):
        variable.assign(value)


def _sequence(scan: Volume) -> dict[str, Any]:
    return {
        "tr_ms": scan.repetition_time_ms,
        "te_ms": scan.echo_times_ms[0] if scan.echo_times_ms else None,
        "flip_deg": scan.flip_angle_deg,
        "spoiler_area": scan.spoiler_area or 0.0,
        "spoiler_duration_us": scan.spoiler_duration_us or 0.0,
    }


def _cartilage(folder: Path, scan: Volume) -> NDArray[np.bool_]:
    labels = read_map(truth_files.truth_path(folder, truth_files.LABELS), scan)
    names = truth_files.label_names(folder)
    inside = np.isin(labels, [label for name, label in names.items() if REGION in name])
    if not inside.any():
        raise InputError(f"expected {REGION} in the subject to watch, found none: {folder}")
    return inside


def _box(inside: NDArray[np.bool_], slice_factor: int) -> tuple[slice, slice, slice]:
    """Around the cartilage within the slice; as many whole thick slices as may be, about its most.

    It begins on a thick slice, which sits at every `slice_factor`-th fine one.
    """
    rows, cols = (
        slice(max(at.min() - MARGIN_VOXELS, 0), at.max() + MARGIN_VOXELS + 1)
        for at in (np.flatnonzero(inside.any(axes)) for axes in ((1, 2), (0, 2)))
    )
    shown = inside[rows, cols]
    most = LARGEST_BOX_VOXELS // (shown.shape[0] * shown.shape[1])
    count = min(max(most // slice_factor, 4) * slice_factor, shown.shape[2])
    start = int(shown.sum((0, 1)).argmax()) - count // 2
    start = min(max(start, 0), shown.shape[2] - count) // slice_factor * slice_factor
    return rows, cols, slice(start, start + count)
