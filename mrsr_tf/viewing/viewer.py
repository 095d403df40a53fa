"""A viewer for HTML pages: three linked planes of several images on one grid, values over them.

Voxels are embedded as pictures of sagittal planes: PNG, or JPEG where small errors do not matter.
Either compresses them, and every browser decodes both.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mrsr_tf.viewing.boxes import GAMMA
from mrsr_tf.viewing.orientation import ENDS, VIEWS
from mrsr_tf.viewing.overlays import Overlay

SCALE_BARS_MM = (50, 20, 10, 5, 2, 1)
LARGEST_BAR = 0.4  # of the width of a plane
Levels = NDArray[np.uint8]  # (echoes, down, back, left)


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

    @property
    def bar_mm(self) -> int:
        """The length of the scale bar."""
        fitting = (mm for mm in SCALE_BARS_MM if mm <= LARGEST_BAR * self.width_mm)
        return next(fitting, SCALE_BARS_MM[-1])


@dataclass(frozen=True)
class Viewer:
    """What viewer.html.jinja renders.

    Attributes:
        key: distinguishes the viewers of one page.
        names: image -> display name, in the order of the buttons.
        selected: the image shown first.
        echoes: index -> display name.
        overlays: the values that can lie over the images; the first does at first.
        planes: the three planes.
        caption: the text below them.
        data: the voxels and what viewer.js needs to draw them, written as JSON.
        opacity: of the overlays at first, in percent.
    """

    key: str
    names: Mapping[str, str]
    selected: str
    echoes: Mapping[int, str]
    overlays: Sequence[Overlay]
    planes: Sequence[Plane]
    caption: str
    data: Mapping[str, Any]
    opacity: int

    @property
    def overlay_names(self) -> dict[int, str]:
        """Index -> display name, without an overlay first."""
        names = [overlay.name for overlay in self.overlays]
        return dict(enumerate(["No overlay", *names], start=-1))


def build_viewer(
    key: str,
    names: Mapping[str, str],
    images: Mapping[str, Levels],
    overlays: Sequence[Overlay],
    *,
    spacing_mm: Sequence[float],
    white: int,
    selected: str,
    caption: str,
    opacity: int = 100,
    jpeg_quality: int | None = None,
) -> Viewer:
    """Embeds images and overlays into a viewer.

    Args:
        key: distinguishes the viewers of one page.
        names: image -> display name, in order; one that has overlays only is shown on the first
            image.
        images: image -> gray levels of `mrsr_tf.viewing.boxes.Box.images`.
        overlays: values on the grid of the images.
        spacing_mm: (down, back, left).
        white: the brightest gray level.
        selected: the image shown first.
        caption: the text below.
        opacity: of the overlays at first, in percent.
        jpeg_quality: 1 to 95, of images and lossy overlays; None keeps every level.
    """
    echoes, *shape = images[next(iter(images))].shape
    return Viewer(
        key=key,
        names=names,
        selected=selected,
        echoes={echo: f"S{echo + 1}" for echo in range(echoes)},
        overlays=overlays,
        planes=_planes(shape, spacing_mm),
        caption=caption,
        opacity=opacity,
        data={
            "shape": shape,
            "white": white,
            "gamma": GAMMA,
            "names": list(names),
            "images": _encode(images, jpeg_quality),
            "background": next(name for name in names if name in images),
            "overlays": [
                {
                    "name": overlay.name,
                    "unit": overlay.unit,
                    "step": overlay.step,
                    "colours": overlay.colours.ravel().tolist(),
                    "levels": _encode(overlay.levels, jpeg_quality if overlay.lossy else None),
                }
                for overlay in overlays
            ],
        },
    )


def _planes(shape: Sequence[int], spacing_mm: Sequence[float]) -> list[Plane]:
    planes = []
    for normal in (2, 1, 0):
        down, right = (axis for axis in range(3) if axis != normal)
        width_mm, height_mm = (shape[axis] * spacing_mm[axis] for axis in (right, down))
        letters = ENDS[down] + ENDS[right]
        planes.append(Plane(VIEWS[normal], width_mm, height_mm, shape[normal], letters))
    return planes


def _encode(volumes: Mapping[str, Levels], jpeg_quality: int | None) -> dict[str, list[list[str]]]:
    """Image -> each echo as the addresses of its sagittal planes, from right to left."""
    return {
        name: [list(_planes_of(echo, jpeg_quality)) for echo in volume]
        for name, volume in volumes.items()
    }


def _planes_of(volume: Levels, jpeg_quality: int | None) -> Iterator[str]:
    options: dict[str, Any] = {"format": "png"}
    if jpeg_quality is not None:
        options = {"format": "jpeg", "quality": jpeg_quality}
    for plane in np.moveaxis(volume, 2, 0):
        file = BytesIO()
        Image.fromarray(np.ascontiguousarray(plane)).save(file, **options)
        yield f"data:image/{options['format']};base64,{base64.b64encode(file.getvalue()).decode()}"
