"""Image panels of figures: a grid in real proportions, insets, overlays and scales.

Sizes are in inches, positions of pixels as in `imshow`, spacing in mm as (down, right).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import NDArray
from scipy import ndimage

from eval.reporting.style import INSET_COLOUR

PANEL_IN, GAP_IN, MARGIN_IN = 2.6, 0.06, 0.3
SQUARENESS = 1.3  # the longest ratio of a panel's sides
INSET, ZOOM = 0.42, 3.0  # the inset's share of the panel's width, and its magnification
SCALE_BARS_MM = (20, 10, 5, 2, 1)  # the longest that covers at most a third of the width is drawn

Region = tuple[slice, slice]  # (down, right)


def grid(
    rows: int,
    titles: Sequence[str],
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    *,
    right_in: float = 0.0,
    below_in: float = 0.0,
) -> tuple[Figure, NDArray]:
    """Rows of panels below their titles, with the aspect ratio of an image (down, right).

    There is room for labels, and `right_in` and `below_in` more.
    """
    columns, width = len(titles), PANEL_IN
    height = width * (shape[0] * spacing_mm[0]) / (shape[1] * spacing_mm[1])
    size = (
        columns * (width + GAP_IN) + MARGIN_IN + GAP_IN + right_in,
        rows * (height + GAP_IN) + MARGIN_IN + GAP_IN + below_in,
    )
    figure = Figure(figsize=size)
    axes = np.empty((rows, columns), object)
    for row, column in np.ndindex(rows, columns):
        left = MARGIN_IN + column * (width + GAP_IN)
        bottom = size[1] - MARGIN_IN - (row + 1) * (height + GAP_IN) + GAP_IN
        box = (left / size[0], bottom / size[1], width / size[0], height / size[1])
        axes[row, column] = figure.add_axes(box)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=10, pad=5)
    return figure, axes


def show(ax: Axes, image: NDArray, spacing_mm: Sequence[float], **colours: Any) -> None:
    """An image without ticks and frame."""
    ax.imshow(image, aspect=spacing_mm[0] / spacing_mm[1], **colours)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def overlay(ax: Axes, values: NDArray, mask: NDArray, **colours: Any) -> None:
    """The finite values inside a mask, on top of the panel's image."""
    masked = np.ma.masked_where(~mask | ~np.isfinite(values), values)
    ax.imshow(masked, aspect=ax.get_aspect(), interpolation="nearest", **colours)


def inset(
    ax: Axes, image: NDArray, region: Region, spacing_mm: Sequence[float], **colours: Any
) -> None:
    """A magnified region of the image, in the lower corner away from the region."""
    down, right = region
    width, height = right.stop - right.start, down.stop - down.start
    corner = (right.start - 0.5, down.start - 0.5)
    frame = Rectangle(corner, width, height, fill=False, edgecolor=INSET_COLOUR, linewidth=0.8)
    ax.add_patch(frame)
    inset_width, inset_height = ZOOM * width / image.shape[1], ZOOM * height / image.shape[0]
    left = 0.0 if inset_is_left(region, image.shape) else 1 - inset_width
    inset_ax = ax.inset_axes((left, 0, inset_width, inset_height))
    show(inset_ax, image[region], spacing_mm, interpolation="nearest", **colours)
    inset_ax.set_aspect("auto")
    for spine in inset_ax.spines.values():
        spine.set(visible=True, color=INSET_COLOUR, linewidth=0.8)


def inset_is_left(region: Region, shape: Sequence[int]) -> bool:
    """Whether the inset of a region goes into the left corner."""
    return region[1].start + region[1].stop > shape[1]


def inset_region(error: NDArray, spacing_mm: Sequence[float]) -> Region:
    """The square in mm, `INSET / ZOOM` of the width, with the largest error near the centre."""
    side_mm = INSET / ZOOM * error.shape[1] * spacing_mm[1]
    sides = [
        max(1, min(round(side_mm / mm), count))
        for count, mm in zip(error.shape, spacing_mm, strict=True)
    ]
    central = tuple(slice(count // 4, max(count // 4 + 1, 3 * count // 4)) for count in error.shape)
    mean_error = ndimage.uniform_filter(error, sides, mode="constant")[central]
    peak = np.unravel_index(np.argmax(mean_error), mean_error.shape)
    down, right = (
        _window(part.start + int(offset), side, count)
        for part, offset, side, count in zip(central, peak, sides, error.shape, strict=True)
    )
    return down, right


def squarish_crop(shape: Sequence[int], spacing_mm: Sequence[float]) -> Region:
    """The central part whose longer side in mm is at most `SQUARENESS` times the shorter."""
    limit_mm = SQUARENESS * min(count * mm for count, mm in zip(shape, spacing_mm, strict=True))
    down, right = (
        _window(count // 2, min(count, max(1, round(limit_mm / mm))), count)
        for count, mm in zip(shape, spacing_mm, strict=True)
    )
    return down, right


def _window(centre: int, length: int, count: int) -> slice:
    """`length` of `count` positions about `centre`, shifted inside where they do not fit."""
    start = min(max(centre - length // 2, 0), count - length)
    return slice(start, start + length)


def crop_around(mask: NDArray, margin_mm: float, spacing_mm: Sequence[float]) -> tuple[slice, ...]:
    """The bounding box of a mask, enlarged by a margin."""
    return tuple(
        slice(max(0, int(index.min() - margin_mm / mm)), int(index.max() + margin_mm / mm) + 2)
        for index, mm in zip(np.nonzero(mask), spacing_mm, strict=True)
    )


def scale_bar(
    ax: Axes, shape: Sequence[int], spacing_mm: Sequence[float], location: str, colour: str
) -> None:
    """A scale bar in a corner or "below"; none where even 1 mm would be too long."""
    width_mm = shape[1] * spacing_mm[1]
    length_mm = next((mm for mm in SCALE_BARS_MM if mm <= width_mm / 3), None)
    if length_mm is None:
        return
    placement: dict[str, Any] = {"loc": location, "borderpad": 0.7}
    if location == "below":
        placement = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": ax.transAxes}
    ax.add_artist(
        AnchoredSizeBar(
            ax.transData,
            length_mm / spacing_mm[1],
            f"{length_mm} mm",
            size_vertical=0.012 * width_mm / spacing_mm[0],
            label_top=location != "below",
            sep=2,
            color=colour,
            frameon=False,
            fontproperties=FontProperties(size=8),
            **placement,
        )
    )


def colour_bar(beside: Axes, panel: Axes, label: str, at: float = 0.12) -> None:
    """A colour bar for the last image of `panel`, drawn in `beside`."""
    ax = beside.inset_axes((at, 0.1, 0.07, 0.8))
    bar = ax.figure.colorbar(panel.images[-1], cax=ax)
    bar.set_label(label)
    bar.outline.set_visible(False)
