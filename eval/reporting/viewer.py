"""The report's viewer: three planes of one subject, input, methods and truth, with T2 over them."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from eval.methods import NETWORK
from eval.reporting import figures
from eval.results import planes as pictures
from eval.results.planes import IMAGES, T2_MAPS, Picture
from eval.results.rows import PICTURES, Results, method_name
from eval.results.viewer_boxes import GRAYS, T2_STEP_MS

THICK = "thick"
T2_COLOURS = "viridis"
GRADIENT_STOPS = 9
# View -> (axis down, axis to the right, letters above, below, left, right) of (down, back, left).
PLANES = {
    "sagittal": (0, 1, "SIAP"),
    "coronal": (0, 2, "SIRL"),
    "axial": (1, 2, "APRL"),
}


@dataclass(frozen=True)
class Plane:
    """One of the three as it lies on the page; `count` planes are parallel to it."""

    view: str
    width_mm: float
    height_mm: float
    count: int
    letters: str


@dataclass(frozen=True)
class Viewer:
    """What the template needs.

    Attributes:
        cohort: "image_quality" or "t2".
        names: what can be shown -> its name, in the order of showing.
        first: which is shown first.
        echoes: (index, name) of each.
        planes: the three.
        caption: below them.
        has_t2: whether there is T2.
        data: the volumes and what viewer.js needs to draw them, as JSON has it.
    """

    cohort: str
    names: Mapping[str, str]
    first: str
    echoes: tuple[tuple[int, str], ...]
    planes: tuple[Plane, ...]
    caption: str
    has_t2: bool
    data: Mapping[str, Any]

    @property
    def window_ms(self) -> tuple[float, float]:
        """The T2 of the colours' ends."""
        return figures.T2_WINDOW_MS

    @property
    def gradient(self) -> str:
        """The colours of T2 as CSS has them."""
        return ", ".join(
            f"rgb({red}, {green}, {blue})" for red, green, blue in _colours(GRADIENT_STOPS)
        )


def viewer(results: Results, subject: str) -> Viewer | None:
    """The viewer of a subject; None where the evaluation kept no boxes (it did not always)."""
    boxes = pictures.boxes(results.folder / PICTURES / f"{subject}.npz")
    if IMAGES not in boxes:
        return None
    images, t2 = boxes[IMAGES], boxes.get(T2_MAPS)
    maps: Mapping[str, NDArray] = t2.panels if t2 else {}
    name_of = method_name if maps else figures.heading
    shown = figures.in_order({**images.panels, **maps})
    names = {name: name_of(name) for name in sorted(shown, key=lambda name: name != THICK)}
    echoes, *shape = next(iter(images.panels.values())).shape
    return Viewer(
        results.cohort,
        names,
        NETWORK if NETWORK in names else next(iter(names)),
        tuple((echo, f"S{echo + 1}") for echo in range(echoes)),
        _planes(shape, images),
        _caption(subject, echoes, with_t2=bool(maps)),
        bool(maps),
        {
            "shape": shape,
            "grays": GRAYS,
            "images": _packed(images.panels),
            "t2": _packed(maps),
            "under": THICK,  # T2 whose images there are none of lies on these
            "t2_step_ms": T2_STEP_MS,
            "t2_window_ms": figures.T2_WINDOW_MS,
            "t2_colours": _colours(256).ravel().tolist(),
        },
    )


def _planes(shape: list[int], images: Picture) -> tuple[Plane, ...]:
    sides_mm = [count * mm for count, mm in zip(shape, images.spacing_mm, strict=True)]
    return tuple(
        Plane(view, sides_mm[right], sides_mm[down], shape[3 - down - right], letters)
        for view, (down, right, letters) in PLANES.items()
    )


def _caption(subject: str, echoes: int, *, with_t2: bool) -> str:
    return (
        f"A part of {subject} in three planes. All images of an echo are in one window (gamma "
        f"{pictures.GAMMA:g}). "
        + ("T2 of the regions lies over them; the truth's on the thick scan. " if with_t2 else "")
        + "Click or drag to move the crosshair. In a plane that was clicked, arrow keys move it, "
        "page up, page down and the wheel go through the slices; 1, 2, … choose the image"
        + (", e the other echo." if echoes > 1 else ".")
    )


def _packed(panels: Mapping[str, NDArray[np.uint8]]) -> dict[str, list[str]]:
    """Name -> each echo's bytes, deflated, in base64."""
    return {
        name: [base64.b64encode(zlib.compress(echo.tobytes(), 9)).decode() for echo in panel]
        for name, panel in panels.items()
    }


def _colours(count: int) -> NDArray[np.uint8]:
    """(count, 3): red, green, blue from the shortest T2 to the longest."""
    return mpl.colormaps[T2_COLOURS](np.linspace(0, 1, count), bytes=True)[:, :3]
