"""The pictures of a scan that the report shows, oriented as radiologists expect them.

An evaluation saves planes, and a box for the viewer (`mrsr_tf.viewing.boxes`), instead of whole
scans.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.outputs import output_file
from mrsr_tf.viewing.boxes import Box
from mrsr_tf.viewing.orientation import VIEWS, upright_orientation
from mrsr_tf.volume import Volume

SLICE_AXIS = 2
TRUTH = "truth"
IMAGES, T2_MAPS = "images", "t2_maps"  # the pictures that are boxes


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of a scan, turned upright.

    Attributes:
        view: the nearest one of `VIEWS`.
        axis: the array axis perpendicular to the plane.
        index: the position along that axis.
        orientation: see `upright_orientation`.
        spacing_mm: (down, right).
    """

    view: str
    axis: int
    index: int
    orientation: NDArray[np.int_]
    spacing_mm: tuple[float, ...]

    def cut(self, array: NDArray) -> NDArray:
        """(down, right[, echoes]): this plane of an array (rows, cols, slices[, echoes])."""
        plane = nibabel.apply_orientation(array.take([self.index], self.axis), self.orientation)
        return plane.squeeze(self.orientation[self.axis, 0])


def upright_plane(volume: Volume, axis: int, index: int) -> Plane:
    """The plane perpendicular to the array axis `axis` at position `index`."""
    orientation, spacing_mm = upright_orientation(volume)
    normal = orientation[axis, 0]
    in_plane_mm = tuple(np.delete(spacing_mm, normal).tolist())
    return Plane(VIEWS[normal], axis, index, orientation, in_plane_mm)


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
            box, bytes (echoes, down, back, left) as `mrsr_tf.viewing.boxes` quantizes them.
    """

    view: str
    spacing_mm: tuple[float, ...]
    panels: Mapping[str, NDArray]


def box_pictures(
    box: Box, images: Mapping[str, NDArray], t2: Mapping[str, NDArray] | None = None
) -> list[Picture]:
    """The pictures of a box to save, from arrays of `box.images` and `box.t2`."""
    maps = [Picture(T2_MAPS, box.spacing_mm, t2)] if t2 else []
    return [Picture(IMAGES, box.spacing_mm, images), *maps]


def save_pictures(path: Path, pictures: list[Picture]) -> None:
    """Writes a compressed .npz of `VIEW.PANEL` arrays and each view's `VIEW.spacing_mm`."""
    arrays: dict[str, NDArray] = {}
    for picture in pictures:
        arrays[f"{picture.view}.spacing_mm"] = np.array(picture.spacing_mm)
        arrays |= {f"{picture.view}.{name}": panel for name, panel in picture.panels.items()}
    with output_file(path) as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays)


def load_pictures(path: Path) -> dict[str, Picture]:
    """View -> picture, from a file of `save_pictures`."""
    views: dict[str, dict[str, NDArray]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            view, name = key.split(".", 1)
            views.setdefault(view, {})[name] = arrays[key]
    return {
        view: Picture(view, tuple(panels.pop("spacing_mm").tolist()), panels)
        for view, panels in views.items()
    }
