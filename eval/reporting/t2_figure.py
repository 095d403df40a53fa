"""The picture of a T2 map: the scan, and T2 in colour where it stands out of the noise."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.results import planes as pictures
from mrsr_tf.mri.dess import T2_LIMIT_MS
from mrsr_tf.volume import Volume

COLOURS = "viridis"
PANEL_IN = 3.4
DPI = 150


def t2_figure(
    t2_ms: NDArray[np.floating], scan: Volume, shown: NDArray[np.bool_], title: str
) -> Figure:
    """Three slices of S1, and below them the same with T2 on top.

    The slices lie a third, half and two thirds through the scan, upright as a reader expects them,
    at their real aspect ratio.

    Args:
        t2_ms: (rows, cols, slices), NaN where invalid.
        scan: two echoes.
        shown: (rows, cols, slices): where T2 covers S1.
        title: one line on how the map was made.
    """
    count = scan.array.shape[2]
    indices = sorted({count * sixth // 6 for sixth in (2, 3, 4)})
    planes = [pictures.plane(scan, pictures.SLICE_AXIS, index) for index in indices]
    s1, window = scan.array[..., 0], Normalize(0, T2_LIMIT_MS)
    down, right = planes[0].cut(s1).shape * np.array(planes[0].spacing_mm)
    figure = Figure(
        figsize=(PANEL_IN * len(planes) + 1, 2 * PANEL_IN * down / right + 0.9),
        layout="constrained",
        dpi=DPI,
    )
    axes = figure.subplots(2, len(planes), squeeze=False)
    white = float(np.percentile(s1, 99.5)) or 1.0
    overlay = np.ma.masked_where(~shown | np.isnan(t2_ms), t2_ms)
    for plane, above, below in zip(planes, *axes, strict=True):
        for ax in (above, below):
            _show(ax, plane, s1, cmap="gray", vmin=0.0, vmax=white)
        _show(below, plane, overlay, cmap=COLOURS, norm=window)
        above.set_title(f"{plane.view}, slice {plane.index + 1} of {count}")
    axes[0][0].set_ylabel("S1")
    axes[1][0].set_ylabel("S1 with T2")
    bar = figure.colorbar(ScalarMappable(window, COLOURS), ax=list(axes[1]), shrink=0.9)
    bar.set_label("T2 (ms)")
    figure.suptitle(
        f"{title}; without colour: weak signal, or no T2 up to {T2_LIMIT_MS:g} ms",
        fontsize="medium",
    )
    return figure


def _show(ax: Axes, plane: pictures.Plane, array: NDArray, **options: Any) -> None:
    aspect = plane.spacing_mm[0] / plane.spacing_mm[1]
    ax.imshow(plane.cut(array), aspect=aspect, interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
