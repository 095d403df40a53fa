"""A figure of a T2 map: the scan, and T2 in colour where the signal stands out of the noise."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.results.planes import SLICE_AXIS, Plane, upright_plane
from mrsr_tf.mri.dess import T2_LIMIT_MS
from mrsr_tf.viewing.overlays import T2_COLOURS
from mrsr_tf.volume import Volume

PANEL_IN = 3.4
DPI = 150


def t2_figure(
    t2_ms: NDArray[np.floating], scan: Volume, mask: NDArray[np.bool_], title: str
) -> Figure:
    """Three slices of S1 above, and the same slices with T2 overlaid below.

    The slices lie at a third, half and two thirds of the scan, upright and in real proportions.

    Args:
        t2_ms: (rows, cols, slices), NaN where invalid.
        scan: two echoes.
        mask: (rows, cols, slices), where T2 covers S1.
        title: one line about how the map was computed.
    """
    count = scan.array.shape[2]
    indices = sorted({count * sixth // 6 for sixth in (2, 3, 4)})
    planes = [upright_plane(scan, SLICE_AXIS, index) for index in indices]
    s1, window = scan.array[..., 0], Normalize(0, T2_LIMIT_MS)
    height_mm, width_mm = planes[0].cut(s1).shape * np.array(planes[0].spacing_mm)
    figure = Figure(
        figsize=(PANEL_IN * len(planes) + 1, 2 * PANEL_IN * height_mm / width_mm + 0.9),
        layout="constrained",
        dpi=DPI,
    )
    axes = figure.subplots(2, len(planes), squeeze=False)
    white = float(np.percentile(s1, 99.5)) or 1.0
    overlay = np.where(mask, t2_ms, np.nan)
    for plane, above, below in zip(planes, *axes, strict=True):
        for ax in (above, below):
            _show(ax, plane, s1, cmap="gray", vmin=0.0, vmax=white)
        _show(below, plane, overlay, cmap=T2_COLOURS, norm=window)
        above.set_title(f"{plane.view}, slice {plane.index + 1} of {count}")
    axes[0][0].set_ylabel("S1")
    axes[1][0].set_ylabel("S1 with T2")
    bar = figure.colorbar(ScalarMappable(window, T2_COLOURS), ax=list(axes[1]), shrink=0.9)
    bar.set_label("T2 (ms)")
    figure.suptitle(
        f"{title}; without colour: weak signal, or no T2 up to {T2_LIMIT_MS:g} ms",
        fontsize="medium",
    )
    return figure


def _show(ax: Axes, plane: Plane, array: NDArray, **options: Any) -> None:
    aspect = plane.spacing_mm[0] / plane.spacing_mm[1]
    ax.imshow(plane.cut(array), aspect=aspect, interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
