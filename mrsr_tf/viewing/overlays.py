"""Values in colour over the images of a viewer: T2, and standard deviations of image and T2.

Values are stored as levels 0 to 255, each of which is `step` units; 0 is transparent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.viewing.boxes import T2_STEP_MS

T2_COLOURS, DEVIATION_COLOURS = "viridis", "inferno"
T2_WINDOW_MS = (0.0, 80.0)
LEVELS = np.arange(256)
GRADIENT_STOPS = 9


@dataclass(frozen=True)
class Overlay:
    """Values over the images.

    Attributes:
        name: what the values are, such as "T2".
        unit: of the values.
        step: how many units a level is.
        window: the values at the ends of the colour bar, in units.
        gradient: the colours of the bar as stops of a CSS gradient.
        colours: (256, 4) red, green, blue and opacity of each level, 0 to 255.
        levels: image -> bytes (echoes, down, back, left); one echo if the values belong to all.
        lossy: whether the levels may be stored with errors of a few levels.
    """

    name: str
    unit: str
    step: float
    window: tuple[float, float]
    gradient: str
    colours: NDArray[np.uint8]
    levels: Mapping[str, NDArray[np.uint8]]
    lossy: bool = False


def t2_overlay(levels: Mapping[str, NDArray[np.uint8]]) -> Overlay:
    """T2, from levels of `mrsr_tf.viewing.boxes.Box.t2`."""
    low, high = T2_WINDOW_MS
    colours = _colours(T2_COLOURS, (LEVELS * T2_STEP_MS - low) / (high - low))
    colours[0, 3] = 0
    return Overlay("T2", "ms", T2_STEP_MS, T2_WINDOW_MS, _gradient(T2_COLOURS), colours, levels)


def deviation_overlay(
    name: str, unit: str, longest: float, levels: Mapping[str, NDArray[np.uint8]]
) -> Overlay:
    """Standard deviations, the more opaque the larger; level 255 is `longest` units."""
    colours = _colours(DEVIATION_COLOURS, LEVELS / 255)
    colours[:, 3] = LEVELS
    gradient = _gradient(DEVIATION_COLOURS)
    window = (0.0, longest)
    return Overlay(name, unit, longest / 255, window, gradient, colours, levels, lossy=True)


def _colours(name: str, positions: NDArray[np.floating]) -> NDArray[np.uint8]:
    return mpl.colormaps[name](np.clip(positions, 0, 1), bytes=True)


def _gradient(name: str) -> str:
    stops = _colours(name, np.linspace(0, 1, GRADIENT_STOPS))
    return ", ".join(f"rgb({r}, {g}, {b})" for r, g, b, _ in stops)
