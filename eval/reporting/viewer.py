"""A viewer for HTML pages: three linked planes of several volumes on one grid, with T2 over them.

Volumes are embedded as PNG, which compresses them and which every browser decodes.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.methods import NETWORK
from eval.reporting.figures import display_order, heading
from eval.reporting.style import T2_COLOURS, T2_WINDOW_MS, method_name
from eval.results.planes import GAMMA, IMAGES, T2_MAPS, VIEWS, load_pictures
from eval.results.rows import Results
from eval.results.viewer_boxes import T2_STEP_MS, WHITE

GRADIENT_STOPS = 9
THICK = "thick"
ENDS = ("SI", "AP", "RL")  # letters at the ends of a volume's axes (down, back, left)


@dataclass(frozen=True)
class Plane:
    """One of the three planes on the page; the volume has `count` of them.

    The letters are those above, below, left and right.
    """

    view: str
    width_mm: float
    height_mm: float
    count: int
    letters: str


@dataclass(frozen=True)
class Viewer:
    """What viewer.html.jinja renders.

    Attributes:
        key: distinguishes the viewers of one page.
        names: volume -> display name, in the order of the buttons.
        selected: the volume shown first.
        echoes: index -> display name.
        planes: the three planes.
        caption: the text below them.
        data: the volumes and what viewer.js needs to draw them, written as JSON.
        gradient: the colour map of T2 as stops of a CSS gradient.
    """

    key: str
    names: Mapping[str, str]
    selected: str
    echoes: Mapping[int, str]
    planes: Sequence[Plane]
    caption: str
    data: Mapping[str, Any]
    gradient: str


def viewer(results: Results, subject: str) -> Viewer | None:
    """The viewer of a subject; None where the evaluation saved no boxes.

    The volumes are in the order of figures, but the thick scan comes first. A T2 map without an
    image of its own is shown on the first image.
    """
    pictures = load_pictures(results.pictures_path(subject))
    if IMAGES not in pictures:
        return None
    images = pictures[IMAGES].panels
    maps = pictures[T2_MAPS].panels if T2_MAPS in pictures else {}
    names = sorted(display_order({**images, **maps}), key=lambda name: name != THICK)
    display_name = method_name if maps else heading
    echoes, *shape = images[next(iter(images))].shape
    overlay = "T2 of the regions is overlaid; the true T2 lies on the thick scan. " if maps else ""
    return Viewer(
        key=results.experiment,
        names={name: display_name(name) for name in names},
        selected=NETWORK if NETWORK in names else names[0],
        echoes={echo: f"S{echo + 1}" for echo in range(echoes)},
        planes=_planes(shape, pictures[IMAGES].spacing_mm),
        caption=f"A part of {subject} in three planes. {overlay}{_usage(echoes)}",
        data={
            "shape": shape,
            "white": WHITE,
            "images": _encode(images),
            "t2_maps": _encode(maps),
            "background": next(name for name in names if name in images),
            "t2_step_ms": T2_STEP_MS,
            "t2_window_ms": T2_WINDOW_MS,
            "t2_colours": _colours(256).ravel().tolist(),
        },
        gradient=", ".join(f"rgb({r}, {g}, {b})" for r, g, b in _colours(GRADIENT_STOPS)),
    )


def _planes(shape: Sequence[int], spacing_mm: Sequence[float]) -> list[Plane]:
    planes = []
    for normal in (2, 1, 0):
        down, right = (axis for axis in range(3) if axis != normal)
        width_mm, height_mm = (shape[axis] * spacing_mm[axis] for axis in (right, down))
        letters = ENDS[down] + ENDS[right]
        planes.append(Plane(VIEWS[normal], width_mm, height_mm, shape[normal], letters))
    return planes


def _usage(echoes: int) -> str:
    return (
        f"All images of an echo share one window (gamma {GAMMA:g}). Click or drag to move the "
        "crosshair. In a plane that was clicked, the arrow keys move the crosshair, page up, page "
        "down and the mouse wheel change the slice, and 1, 2, … select the image"
        + (", e the other echo." if echoes > 1 else ".")
    )


def _encode(volumes: Mapping[str, NDArray[np.uint8]]) -> dict[str, list[str]]:
    """Name -> each echo as a PNG in base64, its pixels in the order of the voxels."""
    return {name: [_png(echo) for echo in volume] for name, volume in volumes.items()}


def _png(volume: NDArray[np.uint8]) -> str:
    """One row of pixels for each position down the body: PNG then predicts from neighbours."""
    file = BytesIO()
    Image.fromarray(volume.reshape(len(volume), -1)).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _colours(count: int) -> NDArray[np.uint8]:
    """(count, 3): red, green and blue from the shortest T2 to the longest."""
    return mpl.colormaps[T2_COLOURS](np.linspace(0, 1, count), bytes=True)[:, :3]
