"""The few planes of a scan that the report shows, oriented as a radiologist expects them.

An evaluation keeps these, and for the viewer a box (`eval.results.viewer_boxes`), but no whole
scans. A picture is one plane of several arrays on one grid:

    sagittal   anterior left, superior up
    coronal    patient's right left, superior up
    axial      patient's right left, anterior up
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.outputs import output_file
from mrsr_tf.volume import Volume

SLICE_AXIS = 2
TRUTH = "truth"
GAMMA = 0.6  # with it one window shows dark and bright tissue
IMAGES, T2_MAPS = "images", "t2_maps"  # the two that are boxes

# A view leaves out one patient axis of LPS (0: to the left, 1: to posterior, 2: to superior);
# what runs down and what runs right in it, as (patient axis, direction).
LEFT, POSTERIOR, SUPERIOR = 0, 1, 2
VIEWS = {
    LEFT: ("sagittal", (SUPERIOR, -1), (POSTERIOR, 1)),
    POSTERIOR: ("coronal", (SUPERIOR, -1), (LEFT, 1)),
    SUPERIOR: ("axial", (POSTERIOR, 1), (LEFT, 1)),
}


@dataclass(frozen=True)
class Plane:
    """Where a picture is cut out of an array (rows, cols, slices[, echoes]).

    Attributes:
        view: "sagittal", "coronal" or "axial": the one nearest to the plane. Nothing is resampled,
            so that of an oblique scan is as oblique.
        axis: the array axis that the plane is perpendicular to.
        index: its position along that axis.
        steps: (down, right), each (array axis, 1 or -1).
        spacing_mm: (down, right).
    """

    view: str
    axis: int
    index: int
    steps: tuple[tuple[int, int], tuple[int, int]]
    spacing_mm: tuple[float, float]

    def cut(self, array: NDArray) -> NDArray:
        """(down, right[, echoes]): the plane of `array`, turned upright."""
        (down, down_step), (right, right_step) = self.steps
        plane = np.moveaxis(array, (self.axis, down, right), (0, 1, 2))[self.index]
        return plane[::down_step, ::right_step]


def plane(volume: Volume, axis: int, index: int) -> Plane:
    """The plane of `volume` perpendicular to the array axis `axis` at `index`."""
    # For each array axis, the patient axis nearest to it and the direction along it.
    orientation = nibabel.io_orientation(volume.affine).astype(int)
    array_axis = {int(patient): index for index, (patient, _) in enumerate(orientation)}
    view, *sides = VIEWS[int(orientation[axis, 0])]
    steps = tuple(
        (array_axis[patient], direction * int(orientation[array_axis[patient], 1]))
        for patient, direction in sides
    )
    spacing = tuple(float(volume.spacing_mm[side]) for side, _ in steps)
    return Plane(view, axis, index, steps, spacing)  # type: ignore[arg-type]


def reformats(volume: Volume) -> list[Plane]:
    """The two planes across the slices that hold most structure: coronal and axial, if sagittal.

    They are chosen by `volume` alone (the truth), so that no method is favoured.
    """
    planes = [plane(volume, axis, _structured_index(volume, axis)) for axis in (0, 1)]
    return sorted(planes, key=lambda each: each.view, reverse=True)


def _structured_index(volume: Volume, axis: int) -> int:
    """Where echo 1 changes most from slice to slice, within the middle quarter of `axis`."""
    change = np.diff(volume.array[..., 0], axis=SLICE_AXIS)
    energy = np.square(change).sum(axis=tuple({0, 1, 2} - {axis}))
    count = len(energy)
    if not energy.any():
        return count // 2
    smooth = ndimage.gaussian_filter1d(energy, count / 50)
    start = 3 * count // 8
    return start + int(np.argmax(smooth[start : count - start]))


@dataclass(frozen=True)
class Picture:
    """One plane, of the truth and of each method; or one box.

    Attributes:
        view: what it is: "coronal", "axial", ... or "t2"; `IMAGES` or `T2_MAPS` is a box.
        spacing_mm: (down, right); of a box (down, back, left).
        panels: by name, in the order of showing, arrays (down, right[, echoes]); of a box as
            `eval.results.viewer_boxes` codes them.
    """

    view: str
    spacing_mm: tuple[float, ...]
    panels: Mapping[str, NDArray]


def save(path: Path, pictures: list[Picture]) -> None:
    """Writes a compressed .npz of `VIEW.PANEL` arrays and each view's `VIEW.spacing_mm`."""
    arrays: dict[str, NDArray] = {}
    for picture in pictures:
        arrays[f"{picture.view}.spacing_mm"] = np.array(picture.spacing_mm)
        arrays |= {f"{picture.view}.{name}": panel for name, panel in picture.panels.items()}
    with output_file(path) as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays)


def load(path: Path) -> list[Picture]:
    """The planes that `save` wrote."""
    return [each for view, each in _saved(path).items() if view not in (IMAGES, T2_MAPS)]


def boxes(path: Path) -> dict[str, Picture]:
    """The boxes that `save` wrote, by `IMAGES` and `T2_MAPS`; those that there are."""
    return {view: each for view, each in _saved(path).items() if view in (IMAGES, T2_MAPS)}


def _saved(path: Path) -> dict[str, Picture]:
    with np.load(path, allow_pickle=False) as arrays:
        views: dict[str, dict[str, NDArray]] = {}
        for key in arrays.files:
            view, name = key.split(".", 1)
            views.setdefault(view, {})[name] = arrays[key]
    return {
        view: Picture(view, tuple(panels.pop("spacing_mm").tolist()), panels)
        for view, panels in views.items()
    }
