"""Images for TensorBoard: patches and T2 maps side by side, with a colour bar."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.training.t2_probe import T2Probe

# TensorBoard shows images about 350 pixels wide; small panels keep the text readable there.
PANEL_INCHES, TEXT_INCHES, COLOUR_BAR_INCHES, DPI = 1.2, 0.6, 0.5, 180
ERROR_GAIN = 4
LARGEST_T2_MS = 80


def write_patches(
    inputs: NDArray[np.float32], predictions: NDArray[np.float32], targets: NDArray[np.float32]
) -> None:
    """Writes an image of each echo to the current summary: input, prediction, target and error.

    All are (n, rows, cols, slices, echoes), in units of the subject's scale.
    """
    panels = {
        "TCI": inputs,
        "network": predictions,
        "truth": targets,
        f"{ERROR_GAIN} x error": ERROR_GAIN * np.abs(predictions - targets),
    }
    for echo in range(inputs.shape[-1]):
        picture = side_by_side(
            {name: stack_planes(patches[..., echo]) for name, patches in panels.items()},
            1.0,
            colours="gray",
            unit="share of the subject's scale",
        )
        tf.summary.image(f"validation/echo_{echo + 1}", picture[None])


def write_t2_maps(probe: T2Probe, t2_ms: NDArray[np.floating]) -> None:
    """Writes an image of the T2 maps of interpolation, network and truth to the summary."""
    maps = {"TCI": probe.tci_t2_ms(), "network": t2_ms, "truth": probe.true_t2_ms}
    planes = {name: probe.plane(t2) for name, t2 in maps.items()}
    picture = side_by_side(planes, LARGEST_T2_MS, colours="viridis", unit="T2 in cartilage, ms")
    tf.summary.image("validation/t2", picture[None])


def side_by_side(
    images: Mapping[str, NDArray[np.floating]], highest: float, *, colours: str, unit: str
) -> NDArray[np.uint8]:
    """Draws several images in a row.

    Args:
        images: (rows, cols) by name, all of one shape; NaN is left blank.
        highest: the value that has the last colour; 0 has the first.
        colours: name of a colour map of Matplotlib.
        unit: of the values, written below.

    Returns:
        (height, width, 3).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, cols = next(iter(images.values())).shape
    width = PANEL_INCHES * len(images) + COLOUR_BAR_INCHES
    figure = Figure((width, PANEL_INCHES * rows / cols + TEXT_INCHES), DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for axis, (name, image) in zip(axes, images.items(), strict=True):
        shown = axis.imshow(image, colours, vmin=0, vmax=highest, interpolation="nearest")
        axis.set_title(name)
        axis.axis("off")
    figure.colorbar(shown, ax=list(axes))
    figure.supxlabel(unit, fontsize="medium")  # short images have no room beside the colour bar
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def stack_planes(patches: NDArray[np.floating]) -> NDArray[np.floating]:
    """Stacks the middle row x slice planes of (n, rows, cols, slices) with NaN between them.

    Returns:
        (n * (rows + 1) - 1, slices).
    """
    planes = patches[:, :, patches.shape[2] // 2]
    return np.pad(planes, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(
        -1, planes.shape[2]
    )[:-1]
