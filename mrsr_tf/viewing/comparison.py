"""A scan and what was derived from it with finer slices, on one grid for comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.inference.data_consistency import Residual, measure_residual
from mrsr_tf.io.scans import Scan
from mrsr_tf.mri.noise import above_noise
from mrsr_tf.mri.slices import Profile, first_slice, interpolate
from mrsr_tf.volume import Volume

PLACE_TOLERANCE = 0.1  # of the smallest spacing
PROFILES = (Profile.FIR, Profile.BOX)  # one for each place that thick slices can have


@dataclass(frozen=True, eq=False)
class Comparison:
    """A scan with thick slices, and one with fine slices at the same place.

    Attributes:
        thick: the scan.
        fine: the scan derived from it, with `factor` times the slices.
        profile: of the thick slices: "fir", also for other profiles whose thick slices lie on fine
            ones, or "box".
        derivation: how `fine` was derived; empty if this package did not derive it.
    """

    thick: Volume
    fine: Volume
    profile: str
    derivation: Mapping[str, Any]

    @property
    def factor(self) -> int:
        """Fine slices per thick slice."""
        return self.fine.array.shape[2] // self.thick.array.shape[2]

    @cached_property
    def interpolated(self) -> NDArray[np.floating]:
        """(rows, cols, fine slices, echoes): the thick scan on the fine grid, tricubic."""
        first = first_slice(self.profile, self.factor)
        return interpolate(self.thick.array, self.factor, first=first)

    @property
    def tissue(self) -> NDArray[np.bool_]:
        """(rows, cols, fine slices): where the nearest thick slice is above its noise."""
        first = first_slice(self.profile, self.factor)
        places = (np.arange(self.fine.array.shape[2]) - first) / self.factor
        nearest = np.clip(np.rint(places), 0, self.thick.array.shape[2] - 1).astype(int)
        return above_noise(self.thick)[:, :, nearest]

    @property
    def residual(self) -> Residual:
        """How far the fine slices, thickened again, are from the scan."""
        return measure_residual(self.fine, self.thick, profile=self.profile)


def compare(scan: Scan, fine: Scan, slice_axis: int = 2) -> Comparison:
    """Reads both scans; warns if `fine` was not derived from `scan`.

    Args:
        scan: thick slices.
        fine: fine slices at the same place.
        slice_axis: the slice axis of NIfTI files.

    Raises:
        InputError: a scan cannot be read, or the two have different frames of reference or do not
            lie on one grid in plane.
    """
    _check_frame_of_reference(scan, fine)
    thick, derived = scan.read(slice_axis), fine.read(slice_axis)
    _check_shapes(thick, derived, scan, fine)
    profile = _profile_by_place(thick, derived, scan, fine)
    return Comparison(thick, derived, profile, _read_derivation(thick, scan, fine))


def _check_frame_of_reference(scan: Scan, fine: Scan) -> None:
    frames = {each.format.frame_of_reference(each) for each in (scan, fine)} - {None}
    if len(frames) > 1:
        raise InputError(f"expected the frame of reference of {scan}, got another: {fine}")


def _check_shapes(thick: Volume, fine: Volume, scan: Scan, derived: Scan) -> None:
    rows, cols, slices, echoes = thick.array.shape
    shape = fine.array.shape
    if shape[3] != echoes:
        raise InputError(
            f"expected as many echoes as {scan} has ({echoes}), got {shape[3]}: {derived}"
        )
    if shape[:2] != (rows, cols):
        raise InputError(
            f"expected {rows} x {cols} pixels as in {scan}, got {shape[0]} x {shape[1]}: {derived}"
        )
    if shape[2] % slices or shape[2] == slices:
        raise InputError(
            f"expected two or more times the {slices} slices of {scan}, got {shape[2]}: {derived}"
        )


def _profile_by_place(thick: Volume, fine: Volume, scan: Scan, derived: Scan) -> str:
    """The profile for which the thick slices lie where they do on the fine grid."""
    factor = fine.array.shape[2] // thick.array.shape[2]
    distances_mm = {
        profile: _distance_mm(
            thick.resliced(fine.array, factor, first_slice(profile, factor)), fine
        )
        for profile in PROFILES
    }
    nearest = min(PROFILES, key=distances_mm.__getitem__)
    if distances_mm[nearest] > PLACE_TOLERANCE * fine.spacing_mm.min():
        raise InputError(
            f"expected slices at the place of {scan} in the patient, got some "
            f"{distances_mm[nearest]:.3g} mm away from it: {derived}"
        )
    return nearest


def _distance_mm(volume: Volume, other: Volume) -> float:
    """The largest distance between voxels of the same index in two volumes of one shape."""
    corners = np.stack(np.meshgrid(*([0, size - 1] for size in volume.array.shape[:3])), axis=-1)
    places = [corners @ v.affine[:3, :3].T + v.affine[:3, 3] for v in (volume, other)]
    return float(np.linalg.norm(places[0] - places[1], axis=-1).max())


def _read_derivation(thick: Volume, scan: Scan, fine: Scan) -> dict[str, Any]:
    derivation = fine.format.read_derivation(fine.path)
    if derivation is None:
        logging.warning("how %s was derived is unknown: MRSR-TF did not write it", fine)
    elif derivation.get("source") != thick.identity:
        logging.warning("%s was derived from another scan than %s, or that has changed", fine, scan)
    return derivation or {}
