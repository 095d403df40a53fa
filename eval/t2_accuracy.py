"""Cohort 2: T2 of a thick scan after each method doubled its slices, against the scan's own."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from eval import pictures
from eval.methods import Method, fine_slices
from eval.pictures import Picture
from eval.results import Row
from eval.t2 import T2_LIMIT_MS, t2_map
from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

COMBINATIONS = ("covering", "pair")


def evaluate(
    thick: Volume,
    methods: Mapping[str, Method],
    factor: int,
    *,
    times: Mapping[str, float],
    roi: NDArray[np.bool_],
    true_t2_ms: NDArray[np.floating] | None = None,
    combination: str = "covering",
) -> tuple[list[Row], list[Picture]]:
    """Measures T2 in a region by the analytic formula.

    Each map's mean is over its own voxels in (0, 100] ms; the pixel-wise CV % over those that are
    valid in the thick scan's map too.

    Args:
        thick: the scan as acquired, two echoes.
        methods: by name.
        factor: fine slices per thick one.
        times: of the sequence, what `eval.t2.sequence` gives.
        roi: (rows, cols, slices), some of the thick scan's voxels.
        true_t2_ms: likewise; None where it is not known.
        combination: of the fine slices' signals to a thick one's, see `combining_matrix`.

    Returns:
        A row per method: method, t2_ms, t2_thick_ms, t2_truth_ms (NaN where not known),
        pixel_cv_percent, voxels (used) and excluded (of the region); and the T2 maps of the slice
        that holds most of the region.

    Raises:
        InputError: a method that gives other slices, or no voxel of the region has a T2.
    """
    matrix = combining_matrix(thick.array.shape[2], factor, combination)
    shown = pictures.plane(thick, pictures.SLICE_AXIS, int(np.argmax(roi.sum(axis=(0, 1)))))
    panels = {"s1": shown.cut(thick.array[..., 0]), "roi": shown.cut(roi)}

    def t2_of(signals: NDArray[np.floating], name: str) -> NDArray[np.floating]:
        panels[name] = _t2(shown.cut(signals), times)
        return _t2(signals[roi], times)

    reference = t2_of(thick.array, "thick")
    truth_mean = float("nan")
    if true_t2_ms is not None:
        panels["truth"] = _believed(shown.cut(true_t2_ms))
        truth_mean = _mean(_believed(true_t2_ms[roi]), "the truth")
    rows: list[Row] = []
    for name, method in methods.items():
        fine = fine_slices(name, method, thick, factor)
        t2 = t2_of(np.einsum("ts,rcse->rcte", matrix, fine, optimize=True), name)
        rows.append(
            {
                "method": name,
                "t2_ms": _mean(t2, name),
                "t2_thick_ms": _mean(reference, "the thick scan"),
                "t2_truth_ms": truth_mean,
                "pixel_cv_percent": _pixel_cv_percent(reference, t2),
                "voxels": int(np.isfinite(t2).sum()),
                "excluded": int(np.isnan(t2).sum()),
            }
        )
    return rows, [Picture("t2", shown.spacing_mm, panels)]


def combining_matrix(thick_slices: int, factor: int, combination: str) -> NDArray[np.float32]:
    """(thick, factor x thick): the weights of the fine slices that make up each thick one.

    Thick slice m lies at fine position factor x m. "covering" weighs a fine slice by how much of
    the thick one it covers: 1/4, 1/2, 1/4 for a factor of 2, renormalised at the ends. "pair" is
    the plain mean of the `factor` slices from factor x m on: centred (factor - 1) / 2 fine slices
    off.

    Raises:
        InputError: another combination.
    """
    if combination not in COMBINATIONS:
        raise InputError(f"expected combination covering or pair, got {combination!r}")
    offset = np.arange(factor * thick_slices) - factor * np.arange(thick_slices)[:, None]
    if combination == "pair":
        weights = ((offset >= 0) & (offset < factor)).astype(np.float32)
    else:
        # Two slices, one of width 1 and one of width `factor`, this far apart overlap so much.
        weights = np.clip((factor + 1) / 2 - np.abs(offset), 0, 1).astype(np.float32)
    return weights / weights.sum(axis=1, keepdims=True)


def _t2(signals: NDArray[np.floating], times: Mapping[str, float]) -> NDArray[np.floating]:
    return t2_map(signals[..., 0], signals[..., 1], **times)  # type: ignore[arg-type]


def _believed(t2_ms: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where((t2_ms > 0) & (t2_ms <= T2_LIMIT_MS), t2_ms, np.nan)


def _mean(t2_ms: NDArray[np.floating], name: str) -> float:
    if np.isnan(t2_ms).all():
        raise InputError(
            f"expected a T2 in (0, {T2_LIMIT_MS:g}] ms somewhere in the region, got none in its "
            f"{t2_ms.size} voxels by {name}"
        )
    return float(np.nanmean(t2_ms, dtype=np.float64))


def _pixel_cv_percent(reference: NDArray[np.floating], t2_ms: NDArray[np.floating]) -> float:
    """The mean over voxels of |difference| / (sqrt 2 x pair mean), in percent."""
    both = np.isfinite(reference) & np.isfinite(t2_ms)
    x, y = reference[both], t2_ms[both]
    return float(np.mean(100 * np.abs(y - x) / (math.sqrt(2) * (x + y) / 2), dtype=np.float64))
