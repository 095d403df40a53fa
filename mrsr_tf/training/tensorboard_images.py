"""Pictures for TensorBoard: images side by side under their names, with a scale."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# TensorBoard shows a picture some 350 pixels wide: small panels keep the words readable there.
PANEL_INCHES, WORDS_INCHES, SCALE_INCHES, DPI = 1.2, 0.6, 0.5, 180


def side_by_side(
    images: Mapping[str, NDArray[np.floating]], highest: float, *, colours: str, unit: str
) -> NDArray[np.uint8]:
    """One picture of several images.

    Args:
        images: by name, (rows, cols), of one shape; NaN is left blank.
        highest: shown as the last colour; 0 is the first.
        colours: the name of one of Matplotlib's colour maps.
        unit: of the scale, written below.

    Returns:
        (height, width, 3).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, cols = next(iter(images.values())).shape
    width = PANEL_INCHES * len(images) + SCALE_INCHES
    figure = Figure((width, PANEL_INCHES * rows / cols + WORDS_INCHES), DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for axis, (name, image) in zip(axes, images.items(), strict=True):
        shown = axis.imshow(image, colours, vmin=0, vmax=highest, interpolation="nearest")
        axis.set_title(name)
        axis.axis("off")
    figure.colorbar(shown, ax=list(axes))
    figure.supxlabel(unit, fontsize="medium")  # a short picture has no room beside its scale
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def stacked(patches: NDArray[np.floating]) -> NDArray[np.floating]:
    """The middle row x slice plane of each patch, one below the other with a gap between.

    Args:
        patches: (n, rows, cols, slices).

    Returns:
        (n * (rows + 1) - 1, slices); NaN in the gaps.
    """
    planes = patches[:, :, patches.shape[2] // 2]
    return np.pad(planes, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(
        -1, planes.shape[2]
    )[:-1]
