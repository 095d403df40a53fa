"""Upsamplers: every way from a scan of thick slices to one of fine slices.

An `Upsampler` makes one or more predictions of the fine slices; its result is their mean. Two
wrappers work on any other upsampler:

    Interpolation                          tricubic or Fourier interpolation
    super_resolution.Network               the convolutional network
    SelfEnsemble(upsampler)                eight predictions, one for each mirrored scan
    DataConsistent(upsampler)              every prediction, thickened again, is the scan

`mrsr_tf.inference.methods.choose_upsampler` makes the one that a command's flags ask for.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.inference.data_consistency import enforce_data_consistency
from mrsr_tf.inference.self_ensemble import MEMBERS, Image, RunningStats, mirrored_predictions
from mrsr_tf.mri.dess import t2_map
from mrsr_tf.mri.slices import DEFAULT_FACTOR, Profile, interpolate
from mrsr_tf.mri.t2 import sequence
from mrsr_tf.volume import Volume, intensity_scale


class Method(StrEnum):
    """The methods by the names that flags, tables and headers give them."""

    MRSR = "mrsr"
    TCI = "tci"
    FI = "fi"


INTERPOLATIONS: Mapping[str, str] = {Method.TCI: "tricubic", Method.FI: "fourier"}
UNWRAPPED = {"ensemble": 1, "consistent": False}  # in the derivation of all but the wrappers


@dataclass(frozen=True, kw_only=True)
class UpsamplingResult:
    """An upsampled scan, and how far to trust it.

    Attributes:
        volume: the scan with fine slices.
        uncertainty: standard deviation of each voxel over the predictions, on the grid and in the
            unit of `volume`; None if there was one prediction.
        t2_uncertainty_ms: (rows, cols, slices), standard deviation of T2 (analytic, T1 1200 ms)
            over the predictions; NaN where any of them has no T2. None if there was one prediction
            or the scan has no T2.
    """

    volume: Volume
    uncertainty: Volume | None = None
    t2_uncertainty_ms: Image | None = None


class Upsampler(ABC):
    """Multiplies the number of a scan's slices.

    Attributes:
        name: of the method, such as "tci".
        factor: fine slices per thick one.
        profile: the slice profile that is assumed of the thick slices, see `slices.thicken`.
        first_slice: position of thick slice 0 on the fine grid, see `slices.first_slice`.
        card: the model card of a network; empty for other methods.
        derivation: everything that determines the result besides the scan, as JSON values.
    """

    def __init__(
        self,
        name: str,
        factor: int = DEFAULT_FACTOR,
        *,
        profile: str = Profile.FIR,
        first_slice: float = 0.0,
        card: Mapping[str, Any] | None = None,
        derivation: Mapping[str, Any] = UNWRAPPED,
    ) -> None:
        """Takes the attributes; `derivation` without the method and its slice factor."""
        self.name = str(name)
        self.factor = factor
        self.profile = profile
        self.first_slice = first_slice
        self.card = card or {}
        self.derivation = {"method": self.name, "slice_factor": factor, **derivation}

    @abstractmethod
    def predictions(self, thick: Image) -> Iterator[Image]:
        """Predicts the fine slices once or several times.

        Args:
            thick: float32 (rows, cols, slices, echoes), scanner intensities.

        Yields:
            (rows, cols, factor * slices, echoes), on the same intensity scale.

        Raises:
            InputError: the method cannot be used for such a scan.
        """

    def upsample(self, thick: Image) -> Image:
        """The mean of the predictions; arguments and errors as for `predictions`."""
        images = RunningStats()
        for prediction in self.predictions(thick):
            images.add(prediction)
        return images.mean

    def __call__(self, scan: Volume, label: object = "a scan") -> UpsamplingResult:
        """Upsamples a scan.

        Args:
            scan: thick slices, one or two echoes, scanner intensities.
            label: what warnings call the scan, such as its path.

        Raises:
            InputError: the method cannot be used for this scan, or the scan is empty.
            MemoryError: the scan is too large for this machine.
        """
        # Squares of the quotients stay in the range of float32; a power of two divides exactly.
        unit = np.float32(2 ** np.floor(np.log2(intensity_scale(scan.array))))
        images, t2_maps = RunningStats(), RunningStats()
        is_ensemble = self.derivation["ensemble"] > 1
        parameters = _t2_parameters(scan, label) if is_ensemble else None
        for prediction in self.predictions(scan.array):
            images.add(prediction / unit)
            if parameters:
                t2_maps.add(t2_map(prediction[..., 0], prediction[..., 1], **parameters))
        volume = scan.resliced(unit * images.mean, self.factor, self.first_slice)
        return UpsamplingResult(
            volume=volume,
            uncertainty=replace(volume, array=unit * images.deviation) if is_ensemble else None,
            t2_uncertainty_ms=t2_maps.deviation if parameters else None,
        )


def _t2_parameters(scan: Volume, label: object) -> dict[str, Any] | None:
    """The arguments of `t2_map` beside the echoes; None, with a warning, if some are unknown."""
    try:
        return sequence(scan, label) if scan.echoes == 2 else None
    except InputError as error:
        logging.warning("no uncertainty of T2: %s: %s", error, label)
        return None


class Interpolation(Upsampler):
    """Tricubic ("tci") or Fourier ("fi") interpolation along the slices.

    The profile matters to residual and consistency only.
    """

    def predictions(self, thick: Image) -> Iterator[Image]:
        """See `Upsampler.predictions`."""
        yield interpolate(thick, self.factor, method=INTERPOLATIONS[self.name])


class _Wrapper(Upsampler):
    """Changes the predictions of any other upsampler."""

    setting: ClassVar[Mapping[str, Any]]  # how the derivation states the change

    def __init__(self, upsampler: Upsampler) -> None:
        super().__init__(
            upsampler.name,
            upsampler.factor,
            profile=upsampler.profile,
            first_slice=upsampler.first_slice,
            card=upsampler.card,
            derivation={**upsampler.derivation, **self.setting},
        )
        self.upsampler = upsampler


class SelfEnsemble(_Wrapper):
    """Makes eight predictions, from the scan mirrored along rows, columns and slices."""

    setting: ClassVar = {"ensemble": MEMBERS}

    def predictions(self, thick: Image) -> Iterator[Image]:
        """See `Upsampler.predictions`."""
        return mirrored_predictions(self.upsampler.upsample, thick, self.factor, self.first_slice)


class DataConsistent(_Wrapper):
    """Changes each prediction as little as possible so that, thickened again, it is the scan."""

    setting: ClassVar = {"consistent": True}

    def predictions(self, thick: Image) -> Iterator[Image]:
        """See `Upsampler.predictions`."""
        for prediction in self.upsampler.predictions(thick):
            yield enforce_data_consistency(prediction, thick, profile=self.profile)


def wrap(upsampler: Upsampler, *, ensemble: bool = False, consistent: bool = False) -> Upsampler:
    """The upsampler with a self-ensemble, with data consistency, with both or as it is."""
    if ensemble:
        upsampler = SelfEnsemble(upsampler)
    return DataConsistent(upsampler) if consistent else upsampler
