"""A thick scan made fine, by whatever way, together with what tells how far to trust it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.inference.data_consistency import made_consistent, residual_rms
from mrsr_tf.inference.self_ensemble import MEMBERS, Spread, members
from mrsr_tf.mri.acquisition import sequence
from mrsr_tf.mri.dess import t2_map
from mrsr_tf.mri.noise import noise_deviation
from mrsr_tf.mri.slices import interpolate
from mrsr_tf.volume import Volume, intensity_scale

METHODS = {"tci": "tricubic", "fi": "fourier"}
Image = NDArray[np.floating]


@dataclass(frozen=True)
class Way:
    """How thick scans become fine ones.

    Attributes:
        resolve: float32 (rows, cols, slices, echoes) to slice_factor times the slices; raises
            `InputError` where the echoes are not those it is for.
        slice_factor: fine slices per thick one.
        how: what identifies the way, as plain JSON values.
        profile: that is taken to have made the slices thick, see `slices.thicken`.
        first_slice: where thick slice 0 sits on the fine grid, see `slices.first_slice`.
        card: of the network; empty where there is none.
        ensemble: take the mean over the scan mirrored eight ways.
        consistent: take away what the result, made thick again, lacks of the scan.
    """

    resolve: Callable[[Image], Image]
    slice_factor: int
    how: Mapping[str, Any]
    profile: str = "fir"
    first_slice: float = 0.0
    card: Mapping[str, Any] = field(default_factory=dict)
    ensemble: bool = False
    consistent: bool = False

    @property
    def derivation(self) -> dict[str, Any]:
        """What decides the result, beside the scan."""
        ensemble = MEMBERS if self.ensemble else 1
        return {**self.how, "ensemble": ensemble, "consistent": self.consistent}


@dataclass(frozen=True)
class Resolved:
    """A scan made fine.

    Attributes:
        fine: the scan.
        residual_of_scale: what it lacks of the thick scan when it is made thick again, root mean
            square, in units of the intensity scale.
        residual_of_noise: the same in standard deviations of the thick scan's noise; None where
            that cannot be told.
        uncertainty: the standard deviation of each voxel over the ensemble, on the grid and in the
            unit of `fine`; None without an ensemble.
        t2_uncertainty_ms: (rows, cols, slices) that of T2 (analytic, T1 1200 ms); NaN where any of
            the ensemble has none. None without an ensemble, or where the scan has no T2.
    """

    fine: Volume
    residual_of_scale: float
    residual_of_noise: float | None
    uncertainty: Volume | None = None
    t2_uncertainty_ms: Image | None = None

    @property
    def residuals(self) -> dict[str, float | None]:
        """As a derivation tells them."""
        of_noise = self.residual_of_noise
        return {
            "residual_of_scale": float(f"{self.residual_of_scale:.2g}"),
            "residual_of_noise": of_noise and float(f"{of_noise:.2g}"),
        }


def interpolation(
    method: str, factor: int = 2, *, ensemble: bool = False, consistent: bool = False
) -> Way:
    """The way without a network: "tci" (tricubic) or "fi" (Fourier)."""
    return Way(
        lambda thick: interpolate(thick, factor, method=METHODS[method]),
        factor,
        {"method": method, "slice_factor": factor},
        ensemble=ensemble,
        consistent=consistent,
    )


def resolved(thick: Volume, way: Way, name: object = "a scan") -> Resolved:
    """Makes a thick scan fine.

    Args:
        thick: (rows, cols, slices, echoes), scanner intensities.
        way: how.
        name: how warnings call the scan, such as its path.

    Raises:
        InputError: the scan is not for this way, or is empty.
    """
    scale = intensity_scale(thick.array)
    image, t2 = Spread(), Spread()
    times = _sequence(thick, name) if way.ensemble else None
    for one in _each(thick.array, way):
        image.add(one)
        if times:
            t2.add(t2_map(one[..., 0], one[..., 1], **times))
    fine = thick.resliced(image.mean, way.slice_factor, way.first_slice)
    lacking = residual_rms(fine.array, thick.array, profile=way.profile)
    noise = np.mean([noise_deviation(echo) for echo in np.moveaxis(thick.array, 3, 0)])
    return Resolved(
        fine,
        lacking / scale,
        lacking / float(noise) if noise else None,
        replace(fine, array=image.deviation) if way.ensemble else None,
        t2.deviation if times else None,
    )


def _each(thick: Image, way: Way) -> Iterator[Image]:
    ensemble = members(way.resolve, thick, way.slice_factor, way.first_slice)
    for one in ensemble if way.ensemble else (way.resolve(thick),):
        yield made_consistent(one, thick, profile=way.profile) if way.consistent else one


def _sequence(thick: Volume, name: object) -> dict[str, Any] | None:
    """What T2 needs to know; None, with a warning, where the scan does not tell."""
    try:
        return sequence(thick, name) if thick.echoes == 2 else None
    except InputError as error:
        logging.warning("no uncertainty of T2: %s: %s", error, name)
        return None
