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

from eval.reporting.style import T2_COLOURS, T2_WINDOW_MS
from eval.results.planes import GAMMA
from eval.results.viewer_boxes import T2_STEP_MS, WHITE

GRADIENT_STOPS = 9
# View -> (axis down, axis right, letters above, below, left, right) of volumes (down, back, left).
PLANES = {
    "sagittal": (0, 1, "SIAP"),
    "coronal": (0, 2, "SIRL"),
    "axial": (1, 2, "APRL"),
}


@dataclass(frozen=True)
class Plane:
    """One of the three planes on the page; the volume has `count` of them."""

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
        has_t2: whether there are T2 maps.
        data: the volumes and what viewer.js needs to draw them, written as JSON.
    """

    key: str
    names: Mapping[str, str]
    selected: str
    echoes: Mapping[int, str]
    planes: Sequence[Plane]
    caption: str
    has_t2: bool
    data: Mapping[str, Any]

    @property
    def window_ms(self) -> tuple[float, float]:
        """The T2 values at the ends of the colour map."""
        return T2_WINDOW_MS

    @property
    def gradient(self) -> str:
        """The colour map as stops of a CSS gradient."""
        return ", ".join(f"rgb({r}, {g}, {b})" for r, g, b in _colours(GRADIENT_STOPS))


def viewer(
    key: str,
    images: Mapping[str, NDArray[np.uint8]],
    t2_maps: Mapping[str, NDArray[np.uint8]],
    spacing_mm: Sequence[float],
    *,
    names: Mapping[str, str],
    selected: str,
    caption: str,
) -> Viewer:
    """A viewer of volumes that `eval.results.viewer_boxes` quantized.

    Args:
        key: distinguishes the viewers of one page.
        images: name -> (echoes, down, back, left), gray levels from 0 to `WHITE`.
        t2_maps: name -> (1, down, back, left), T2 in steps of `T2_STEP_MS`, 0 where there is none.
            A map without an image of its own is shown on the first image that `names` lists.
        spacing_mm: (down, back, left).
        names: volume -> display name, in the order of the buttons.
        selected: the volume shown first.
        caption: what is shown; how to use the viewer is appended.
    """
    echoes, *shape = next(iter(images.values())).shape
    return Viewer(
        key=key,
        names=names,
        selected=selected,
        echoes={echo: f"S{echo + 1}" for echo in range(echoes)},
        planes=_planes(shape, spacing_mm),
        caption=f"{caption} {_usage(echoes)}",
        has_t2=bool(t2_maps),
        data={
            "shape": shape,
            "white": WHITE,
            "images": _encode(images),
            "t2_maps": _encode(t2_maps),
            "background": next(name for name in names if name in images),
            "t2_step_ms": T2_STEP_MS,
            "t2_window_ms": T2_WINDOW_MS,
            "t2_colours": _colours(256).ravel().tolist(),
        },
    )


def _planes(shape: Sequence[int], spacing_mm: Sequence[float]) -> list[Plane]:
    sides_mm = [count * mm for count, mm in zip(shape, spacing_mm, strict=True)]
    return [
        Plane(view, sides_mm[right], sides_mm[down], shape[3 - down - right], letters)
        for view, (down, right, letters) in PLANES.items()
    ]


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
