"""Image quality: a scan of fine slices is the truth; each method upsamples its thickened version.

Every result is compared with the truth, as in the paper's first cohort.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from eval import metrics
from eval.methods import INPUT, restore
from eval.regions.body import air_mask, body_mask
from eval.results.planes import TRUTH, Picture, Plane, box_pictures, reformats
from eval.results.rows import Row, unique
from mrsr_tf.inference.upsampling import Image, Interpolation, Upsampler
from mrsr_tf.viewing.boxes import box_around
from mrsr_tf.volume import Volume, intensity_scale

# Thick slices at each end that the continuation beyond the scan may affect: a cubic spline passes
# on 0.27 of an error from one slice to the next, half a per cent over four slices.
OUTER_THICK_SLICES = 4
AIR_SMOOTHING_MM = 0.5  # what is invented along the skin is smoother than noise


def evaluate(truth: Volume, upsamplers: Sequence[Upsampler]) -> tuple[list[Row], list[Picture]]:
    """Scores each method on one scan.

    Truth and estimates are divided by the truth's intensity scale and clipped to [0, 1]. What a
    method returns beyond the truth's last slice is cropped.

    Args:
        truth: fine slices.
        upsamplers: of the same slice factor.

    Returns:
        A row with method, echo (1, 2), `scores` and `compare_with_tci` for each method and echo;
        and pictures of the truth, the methods and the network's input (TCI, even if it is not
        evaluated): reformats, and a box around the point where they cross.

    Raises:
        InputError: the image is empty, or a method returned another number of slices.
    """
    factor, scale = upsamplers[0].factor, intensity_scale(truth.array)
    names = [upsampler.name for upsampler in upsamplers]
    shown = [*upsamplers] if INPUT in names else [*upsamplers, Interpolation(INPUT, factor)]
    views, body = _Views(truth, scale, len(shown) + 1), body_mask(truth)
    views.add(TRUTH, truth.array)
    air = air_mask(body, truth.spacing_mm)
    tci = restore(Interpolation(INPUT, factor), truth.array)
    rows: list[Row] = []
    for upsampler in shown:
        estimate = restore(upsampler, truth.array)
        views.add(upsampler.name, estimate)
        for echo in range(truth.echoes if upsampler.name in names else 0):
            true, estimated, interpolated = (
                np.clip(image[..., echo] / scale, 0, 1) for image in (truth.array, estimate, tci)
            )
            scored = scores(true, estimated, body=body, outer=OUTER_THICK_SLICES * factor)
            errors = estimated - true, interpolated - true
            scored |= compare_with_tci(*errors, air=air, spacing_mm=truth.spacing_mm)
            rows.append({"method": upsampler.name, "echo": echo + 1} | scored)
    return rows, views.pictures()


class _Views:
    """Collects the reformats and the box of one image after another."""

    def __init__(self, truth: Volume, scale: float, images: int) -> None:
        self._scale = scale
        self._panels: dict[Plane, dict[str, Image]] = {plane: {} for plane in reformats(truth)}
        down, right = sorted((plane.axis, plane.index) for plane in self._panels)
        centre = (down[1], right[1], truth.array.shape[2] // 2)
        self._box = box_around(truth, centre, images)
        self._boxes: dict[str, NDArray[np.uint8]] = {}

    def add(self, name: str, image: Image) -> None:
        for plane, panels in self._panels.items():
            panels[name] = plane.cut(image) / self._scale
        self._boxes[name] = self._box.images(image)

    def pictures(self) -> list[Picture]:
        planes = [
            Picture(plane.view, plane.spacing_mm, panels) for plane, panels in self._panels.items()
        ]
        return [*planes, *box_pictures(self._box, self._boxes)]


def scores(
    truth: NDArray[np.floating],
    estimate: NDArray[np.floating],
    *,
    body: NDArray[np.bool_],
    outer: int = 0,
) -> dict[str, float]:
    """The `metrics.METRICS` of the whole image and of the body alone.

    The SSIM of the body is the mean over it of the whole image's SSIM map.

    Args:
        truth: (rows, cols, slices) in [0, 1]; `estimate` and `body` have the same shape.
        estimate: in [0, 1].
        body: see `body_mask`.
        outer: number of slices at each end that the scores named `_inner` leave out.

    Returns:
        Each metric by its name; the same with _body, _inner and _body_inner. NaN if no voxel is
        left.
    """
    similarity = metrics.ssim_map(truth, estimate, data_range=1.0)
    inner = np.zeros(truth.shape, bool)
    inner[:, :, outer : max(outer, truth.shape[2] - outer)] = True
    everywhere = np.ones(truth.shape, bool)
    parts = {"": everywhere, "_body": body, "_inner": inner, "_body_inner": body & inner}
    return {
        f"{name}{suffix}": value
        for suffix, part in parts.items()
        for name, value in _scores(truth[part], estimate[part], similarity[part]).items()
    }


def compare_with_tci(
    error: NDArray[np.floating],
    tci_error: NDArray[np.floating],
    *,
    air: NDArray[np.bool_],
    spacing_mm: NDArray[np.floating],
) -> dict[str, float]:
    """How a method does where a mean over the image does not tell: see the columns.

    Args:
        error: (rows, cols, slices) of the method; `tci_error` and `air` have the same shape.
        tci_error: of interpolation, in the same units.
        air: see `air_mask`.
        spacing_mm: of rows, columns and slices.

    Returns:
        gain_db: pSNR over TCI's, of the whole image.
        worst_slice_gain_db: the same of the slice where it is lowest.
        air_rmse_over_tci: RMSE in the air beside the skin over TCI's, after smoothing by
            `AIR_SMOOTHING_MM` in plane, which leaves lines and halos and removes noise. NaN
            without air.
    """
    sigma = [*(AIR_SMOOTHING_MM / np.asarray(spacing_mm)[:2]), 0]
    power, tci_power = (
        np.square(e).mean(axis=(0, 1), dtype=np.float64) for e in (error, tci_error)
    )
    in_air, tci_in_air = (
        np.square(ndimage.gaussian_filter(e, sigma)[air]).sum(dtype=np.float64)
        for e in (error, tci_error)
    )
    return {
        "gain_db": _ratio_db(tci_power.mean(), power.mean()),
        "worst_slice_gain_db": min(map(_ratio_db, tci_power, power)),
        "air_rmse_over_tci": float(np.sqrt(in_air / tci_in_air)) if tci_in_air else math.nan,
    }


def summary_lines(rows: Sequence[Row]) -> list[str]:
    """A line for each method and echo: its mean gain, its worst slice and its error in air.

    Args:
        rows: of all subjects.
    """
    lines = []
    for method, echo in unique((row["method"], row["echo"]) for row in rows):
        chosen = [row for row in rows if (row["method"], row["echo"]) == (method, echo)]
        gain, worst, air = (
            [row[name] for row in chosen]
            for name in ("gain_db", "worst_slice_gain_db", "air_rmse_over_tci")
        )
        lines.append(
            f"{method}, echo {echo:.0f}: {np.mean(gain):+.2f} dB over TCI, worst slice "
            f"{min(worst):+.2f} dB, error in the air beside the skin {np.mean(air):.2f} of TCI's"
        )
    return lines


def _ratio_db(power: float, other: float) -> float:
    """The ratio of two powers in dB: 0 where both are 0, so that a blank slice is no gain."""
    if power == other:
        return 0.0
    return (
        10 * math.log10(power / other)
        if power and other
        else math.copysign(math.inf, power - other)
    )


def _scores(
    truth: NDArray[np.floating], estimate: NDArray[np.floating], similarity: np.ma.MaskedArray
) -> dict[str, float]:
    if not similarity.count():
        return dict.fromkeys(metrics.METRICS, float("nan"))
    return {
        name: metric.compute(truth, estimate, similarity)
        for name, metric in metrics.METRICS.items()
    }
