"""Cohort 1: the scan is the truth; thickened, brought back by each method and compared with it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from eval import metrics
from eval.methods import INPUT, Method, baseline_methods, fine_slices
from eval.regions.body import body_mask
from eval.results import viewer_boxes
from eval.results.planes import TRUTH, Picture, reformats
from eval.results.rows import QUALITIES, Row
from mrsr_tf.mri import slices
from mrsr_tf.volume import Volume, intensity_scale

# Thick slices at each end that what lies beyond the scan may reach: a cubic spline passes on 0.27
# of a mistake from one slice to the next, half a per cent over four.
OUTER_THICK_SLICES = 4


def evaluate(
    truth: Volume, methods: Mapping[str, Method], factor: int
) -> tuple[list[Row], list[Picture]]:
    """Scores each method on one scan.

    Truth and estimates are divided by the truth's intensity scale and clipped to [0, 1]; what a
    method gives beyond the truth's last slice is cropped.

    Args:
        truth: of fine slices.
        methods: by name.
        factor: fine slices per thick one.

    Returns:
        A row of method, echo (1, 2) and `scores` per method and echo; and the reformats, and a box
        where they cross, of truth, methods and the network's input (TCI, whether a method or not).

    Raises:
        InputError: an empty image, or a method that gives another number of slices.
    """
    scale = intensity_scale(truth.array)
    thick = truth.resliced(slices.thicken(truth.array, factor), 1 / factor)
    body = body_mask(truth)
    planes = reformats(truth)
    panels = {plane: {TRUTH: plane.cut(truth.array) / scale} for plane in planes}
    rows: list[Row] = []
    shown = methods if INPUT in methods else {**methods, INPUT: baseline_methods(factor)[INPUT]}
    down, right = sorted((plane.axis, plane.index) for plane in planes)
    centre = (down[1], right[1], truth.array.shape[2] // 2)
    box = viewer_boxes.box_around(truth, centre, len(shown) + 1)
    boxes = {TRUTH: box.images(truth.array)}
    for name, method in shown.items():
        estimate = fine_slices(name, method, thick, factor)[:, :, : truth.array.shape[2]]
        for plane in planes:
            panels[plane][name] = plane.cut(estimate) / scale
        boxes[name] = box.images(estimate)
        for echo in range(truth.echoes if name in methods else 0):
            pair = (np.clip(a[..., echo] / scale, 0, 1) for a in (truth.array, estimate))
            scored = scores(*pair, body=body, outer=OUTER_THICK_SLICES * factor)
            rows.append({"method": name, "echo": echo + 1} | scored)
    pictures = [Picture(plane.view, plane.spacing_mm, panels[plane]) for plane in planes]
    return rows, [*pictures, *box.pictures(boxes)]


def scores(
    truth: NDArray[np.floating],
    estimate: NDArray[np.floating],
    *,
    body: NDArray[np.bool_],
    outer: int = 0,
) -> dict[str, float]:
    """SSIM, pSNR, MSE and RMSE of the whole image and of the body alone.

    The body's SSIM is the mean of the whole image's SSIM map over it.

    Args:
        truth: (rows, cols, slices) in [0, 1].
        estimate: likewise.
        body: likewise, of the truth.
        outer: how many slices at each end `_inner` leaves out.

    Returns:
        ssim, psnr_db, mse, rmse; the same with _body, _inner and _body_inner; NaN where no voxel is
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


def _scores(
    truth: NDArray[np.floating], estimate: NDArray[np.floating], similarity: np.ma.MaskedArray
) -> dict[str, float]:
    if not similarity.count():
        return dict.fromkeys(QUALITIES, float("nan"))
    measures = {"psnr_db": metrics.psnr, "mse": metrics.mse, "rmse": metrics.rmse}
    errors = {name: of(truth, estimate, data_range=1.0) for name, of in measures.items()}
    return {"ssim": float(similarity.mean()), **errors}
