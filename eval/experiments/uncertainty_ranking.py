"""Uncertainty ranking: does the deviation within an ensemble predict the size of the errors?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.mri.noise import above_noise
from mrsr_tf.mri.slices import thicken
from mrsr_tf.mri.t2 import t2_map
from mrsr_tf.volume import Volume, intensity_scale

GROUPS = 5


@dataclass(frozen=True)
class Ranking:
    """The relation of uncertainty and error over the voxels of tissue.

    Attributes:
        name: "echo 1", "echo 2" or "T2".
        correlation: Spearman's correlation of uncertainty and absolute error.
        brightness_correlation: the same of the estimate itself, which also predicts the error.
        errors: mean absolute error of five groups of equally many voxels, from the lowest to the
            highest uncertainty; relative to the intensity scale, or in ms.
    """

    name: str
    correlation: float
    brightness_correlation: float
    errors: tuple[float, ...]


def rank_errors(
    truth: Volume, upsampler: Upsampler, true_t2_ms: NDArray[np.floating] | None = None
) -> list[Ranking]:
    """Thickens a scan, upsamples it with an ensemble, and ranks the errors.

    Args:
        truth: fine slices.
        upsampler: with a self-ensemble.
        true_t2_ms: (rows, cols, slices); None leaves out T2.

    Returns:
        One ranking for each echo, and one for T2 if it is known.

    Raises:
        InputError: the upsampler has no ensemble, or cannot be used for the scan.
    """
    count, scale = truth.array.shape[2], intensity_scale(truth.array)
    thick = thicken(truth.array, upsampler.factor, profile=upsampler.profile)
    result = upsampler(truth.resliced(thick, 1 / upsampler.factor))
    if result.uncertainty is None:
        raise InputError("expected a method with an ensemble, got one that has no uncertainty")
    tissue, fine = above_noise(truth), result.volume.array[:, :, :count]
    uncertainty = result.uncertainty.array[:, :, :count]
    rankings = [
        _ranking(
            f"echo {echo + 1}",
            uncertainty[..., echo][tissue] / scale,
            np.abs(fine - truth.array)[..., echo][tissue] / scale,
            fine[..., echo][tissue],
        )
        for echo in range(truth.echoes)
    ]
    if true_t2_ms is not None and result.t2_uncertainty_ms is not None:
        t2_ms = t2_map(result.volume)[:, :, :count]
        error = np.abs(t2_ms - true_t2_ms)
        t2_uncertainty_ms = result.t2_uncertainty_ms[:, :, :count]
        valid = tissue & np.isfinite(error) & np.isfinite(t2_uncertainty_ms)
        rankings.append(_ranking("T2", t2_uncertainty_ms[valid], error[valid], t2_ms[valid]))
    return rankings


def _ranking(
    name: str,
    uncertainty: NDArray[np.floating],
    error: NDArray[np.floating],
    estimate: NDArray[np.floating],
) -> Ranking:
    groups = np.array_split(error[np.argsort(uncertainty)], GROUPS)
    return Ranking(
        name,
        float(stats.spearmanr(uncertainty, error).statistic),
        float(stats.spearmanr(estimate, error).statistic),
        tuple(float(group.mean()) for group in groups),
    )
