"""NRRD label maps, and the segmentations (.seg.nrrd) of 3D Slicer, whose header names segments.

A segmentation has one layer, or a further axis of layers if its segments overlap. SegmentN_Name,
_LabelValue and _Layer say where segment N is; Slicer 4.10 and earlier write neither value nor layer
and put each segment in a layer of its own.
https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import nrrd
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import LARGEST_BYTES
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.labels.label_map import Label, LabelMap, as_labels
from mrsr_tf.io.labels.names import named, read_names

WHOLE = "a whole NRRD file"
SEGMENT = re.compile(r"Segment(\d+)_ID")
FRACTIONAL = "Fractional labelmap"
SOURCES = "Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation"  # older
# From each space to LPS; NRRD has an abbreviation for each name.
SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
}

Header = Mapping[str, Any]


@dataclass(frozen=True)
class NrrdLabels:
    """An NRRD label map or a segmentation of 3D Slicer."""

    endings: ClassVar[tuple[str, ...]] = (".seg.nrrd", ".nrrd", ".seg.nhdr", ".nhdr")

    def matches(self, path: Path) -> bool:
        """Whether the name ends as that of an NRRD file."""
        return path.name.lower().endswith(self.endings)

    def read(self, path: Path) -> LabelMap:
        """Reads the layers; the names are those of the segments, else in a table beside it."""
        with refuse_damaged(path, WHOLE):
            header = nrrd.read_header(str(path))
            _check_size(header, path)
            values, header = nrrd.read(str(path))
        axes, affine = _grid(header, path)
        layers = np.moveaxis(values, axes, (-3, -2, -1)).reshape(-1, *np.take(values.shape, axes))
        segments = _segments(header, len(layers), path)
        if not segments and len(layers) > 1:
            raise InputError(f"expected segments in {len(layers)} layers, found none in {path}")
        return LabelMap([*as_labels(layers, path)], affine, segments or read_names(path))


def _check_size(header: Header, path: Path) -> None:
    voxels = math.prod(map(int, header["sizes"]))
    if header["dimension"] not in (3, 4) or voxels > LARGEST_BYTES:
        raise InputError(
            f"expected a 3-D label map or layers of it, got {header['sizes'].tolist()} in {path}"
        )


def _grid(header: Header, path: Path) -> tuple[list[int], NDArray[np.float64]]:
    """The axes that lie in space, and the affine from their indices to mm, LPS."""
    space = str(header.get("space", "")).lower()
    if space not in SPACES:
        raise InputError(f"expected space LPS, RAS or LAS, got {space or 'none'} in {path}")
    if any(unit not in ("mm", "") for unit in header.get("space units", ())):
        raise InputError(f"expected mm, got other space units in {path}")
    with refuse_damaged(path, WHOLE):
        directions = np.asarray(header["space directions"], float)
        axes = [axis for axis, direction in enumerate(directions) if np.isfinite(direction).all()]
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = directions[axes].T, header["space origin"]
        np.linalg.inv(affine)
    return axes, np.diag([*SPACES[space], 1.0]) @ affine


def _segments(header: Header, layers: int, path: Path) -> dict[str, Label]:
    if FRACTIONAL in (header.get(key) for key in SOURCES):
        raise InputError(f"expected a binary label map, got a fractional one in {path}")
    numbers = sorted(int(match[1]) for key in header if (match := SEGMENT.fullmatch(key)))
    with refuse_damaged(path, WHOLE):
        pairs = [_segment(header, number, layers) for number in numbers]
    if any(label.layer not in range(layers) for _, label in pairs):
        raise InputError(f"expected segments in its {layers} layers, got another layer in {path}")
    return named(pairs, path)


def _segment(header: Header, number: int, layers: int) -> tuple[str, Label]:
    """The name and label of a segment."""
    key = f"Segment{number}_"
    name = header.get(f"{key}Name", header[f"{key}ID"])
    own_layer = number if layers > 1 else 0
    layer, value = header.get(f"{key}Layer", own_layer), header.get(f"{key}LabelValue", 1)
    return name, Label(int(layer), int(value))
