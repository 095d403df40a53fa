"""Whether the uncertainty of an ensemble ranks the errors that it was not told of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from eval.t2_noise import above_noise, sequence, t2_map
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Way, resolved
from mrsr_tf.mri.slices import thicken
from mrsr_tf.volume import Volume

GROUPS = 5


@dataclass(frozen=True)
class Ranking:
    """How an uncertainty and the true error go together over the voxels of tissue.

    Attributes:
        name: "echo 1", "echo 2" or "T2".
        correlation: Spearman's, of the uncertainty and the size of the error.
        of_brightness: the same of the estimate itself, which errors follow too.
        errors: mean size of the error in five groups of as many voxels, of least uncertainty to
            most; of the intensity scale, or in ms.
    """

    name: str
    correlation: float
    of_brightness: float
    errors: tuple[float, ...]


def rank_errors(
    truth: Volume, way: Way, *, scale: float, true_t2_ms: NDArray[np.floating] | None = None
) -> list[Ranking]:
    """Thickens a scan, brings it back by an ensemble, and ranks its errors.

    Args:
        truth: of fine slices.
        way: with an ensemble.
        scale: what errors of the image are told in.
        true_t2_ms: (rows, cols, slices); None leaves T2 out.

    Returns:
        One for each echo, and one for T2 where it is known.

    Raises:
        InputError: the way has no ensemble, or the scan is not for it.
    """
    thick = thicken(truth.array, way.slice_factor, profile=way.profile)
    made = resolved(truth.resliced(thick, 1 / way.slice_factor), way)
    if made.uncertainty is None:
        raise InputError("expected a way with an ensemble, got one without: it has no uncertainty")
    tissue, fine = above_noise(truth), made.fine.array[:, :, : truth.array.shape[2]]
    spread = made.uncertainty.array[:, :, : truth.array.shape[2]]
    rankings = [
        _ranking(
            f"echo {echo + 1}",
            spread[..., echo][tissue] / scale,
            np.abs(fine - truth.array)[..., echo][tissue] / scale,
            fine[..., echo][tissue],
        )
        for echo in range(truth.echoes)
    ]
    if true_t2_ms is not None and made.t2_uncertainty_ms is not None:
        times: dict[str, Any] = sequence(truth)
        t2_ms = t2_map(fine[..., 0], fine[..., 1], **times)
        error = np.abs(t2_ms - true_t2_ms)
        known = made.t2_uncertainty_ms[:, :, : truth.array.shape[2]]
        there = tissue & np.isfinite(error) & np.isfinite(known)
        rankings.append(_ranking("T2", known[there], error[there], t2_ms[there]))
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
