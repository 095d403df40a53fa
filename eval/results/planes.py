"""The planes of a scan that the report shows, oriented as radiologists expect them.

An evaluation saves these planes, and a box for the viewer (`eval.results.viewer_boxes`), instead of
whole scans:

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
GAMMA = 0.6  # makes dark and bright tissue visible in one window
IMAGES, T2_MAPS = "images", "t2_maps"  # the pictures that are boxes

# Each view is perpendicular to one patient axis of LPS (0: left, 1: posterior, 2: superior). The
# other two run down and right, each given as (patient axis, direction).
LEFT, POSTERIOR, SUPERIOR = 0, 1, 2
VIEWS = {
    LEFT: ("sagittal", (SUPERIOR, -1), (POSTERIOR, 1)),
    POSTERIOR: ("coronal", (SUPERIOR, -1), (LEFT, 1)),
    SUPERIOR: ("axial", (POSTERIOR, 1), (LEFT, 1)),
}


@dataclass(frozen=True)
class Plane:
    """A plane of a scan, turned upright.

    Attributes:
        view: "sagittal", "coronal" or "axial", whichever is nearest. Nothing is resampled, so a
            plane of an oblique scan is as oblique as the scan.
        axis: the array axis perpendicular to the plane.
        index: the position along that axis.
        steps: (down, right), each (array axis, 1 or -1).
        spacing_mm: (down, right).
    """

    view: str
    axis: int
    index: int
    steps: tuple[tuple[int, int], tuple[int, int]]
    spacing_mm: tuple[float, float]

    def cut(self, array: NDArray) -> NDArray:
        """(down, right[, echoes]): this plane of an array (rows, cols, slices[, echoes])."""
        (down, down_step), (right, right_step) = self.steps
        plane = np.moveaxis(array, (self.axis, down, right), (0, 1, 2))[self.index]
        return plane[::down_step, ::right_step]


def upright_plane(volume: Volume, axis: int, index: int) -> Plane:
    """The plane perpendicular to the array axis `axis` at position `index`."""
    # For each array axis: the nearest patient axis, and the direction along it.
    orientation = nibabel.io_orientation(volume.affine).astype(int)
    array_axis = {int(patient): index for index, (patient, _) in enumerate(orientation)}
    view, *sides = VIEWS[int(orientation[axis, 0])]
    down, right = (
        (array_axis[patient], direction * int(orientation[array_axis[patient], 1]))
        for patient, direction in sides
    )
    spacing = (float(volume.spacing_mm[down[0]]), float(volume.spacing_mm[right[0]]))
    return Plane(view, axis, index, (down, right), spacing)


def reformats(volume: Volume) -> list[Plane]:
    """The two planes across the slices with most structure: coronal and axial of a sagittal scan.

    Pass the truth: the choice then favours no method.
    """
    planes = [upright_plane(volume, axis, _structured_index(volume, axis)) for axis in (0, 1)]
    return sorted(planes, key=lambda plane: plane.view, reverse=True)


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
    """One plane or box, of the truth and of each method.

    Attributes:
        view: "coronal", "axial", "t2", ...; `IMAGES` and `T2_MAPS` are boxes.
        spacing_mm: (down, right) of a plane, (down, back, left) of a box.
        panels: name -> array (down, right[, echoes]), in the order in which they are shown; of a
            box, bytes (echoes, down, back, left) as `eval.results.viewer_boxes` quantizes them.
    """

    view: str
    spacing_mm: tuple[float, ...]
    panels: Mapping[str, NDArray]


def save_pictures(path: Path, pictures: list[Picture]) -> None:
    """Writes a compressed .npz of `VIEW.PANEL` arrays and each view's `VIEW.spacing_mm`."""
    arrays: dict[str, NDArray] = {}
    for picture in pictures:
        arrays[f"{picture.view}.spacing_mm"] = np.array(picture.spacing_mm)
        arrays |= {f"{picture.view}.{name}": panel for name, panel in picture.panels.items()}
    with output_file(path) as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays)


def load_planes(path: Path) -> list[Picture]:
    """The planes in a file of `save_pictures`."""
    pictures = _load(path)
    return [pictures[view] for view in pictures if view not in (IMAGES, T2_MAPS)]


def load_boxes(path: Path) -> dict[str, Picture]:
    """The boxes in a file of `save_pictures`, by `IMAGES` and `T2_MAPS` where present."""
    pictures = _load(path)
    return {view: pictures[view] for view in (IMAGES, T2_MAPS) if view in pictures}


def _load(path: Path) -> dict[str, Picture]:
    views: dict[str, dict[str, NDArray]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            view, name = key.split(".", 1)
            views.setdefault(view, {})[name] = arrays[key]
    return {
        view: Picture(view, tuple(panels.pop("spacing_mm").tolist()), panels)
        for view, panels in views.items()
    }
