"""What is known of a subject beside its scan: regions of interest and the true T2."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from eval.regions import cartilage_layers
from mrsr_tf.errors import InputError
from mrsr_tf.io.labels import labels_path, read_labels
from mrsr_tf.io.nifti import read_map
from mrsr_tf.volume import Volume

KNOWN = "truth/labels.nii.gz"
KNOWN_NAMES, TRUE_T2 = "truth/acquisition.json", "truth/t2_ms.nii.gz"
LAYERS = ("deep", "superficial")
IN_PLANE = np.ones((3, 3, 1), bool)


def regions(
    subject: Path,
    scan: Volume,
    names: Sequence[str],
    *,
    slice_axis: int = 2,
    rim: bool = True,
) -> dict[str, NDArray[np.bool_]]:
    """The voxels of each region: all labels whose names start with its name, or a layer of them.

    The labels are those drawn for the subject (`rois.labels_path`: rois.nii.gz, named by rois.json
    ({name: label}) beside it, a DICOM SEG, ...), on a grid of their own; else a phantom's, on the
    scan's. Without names, the only label there is is the region, whatever it is called.

    Args:
        subject: the subject's folder.
        scan: the scan.
        names: as "medial_femoral_cartilage", which is both of a phantom's own layers of it;
            "medial_femoral_cartilage:deep" and ":superficial" are the halves by `layers.depth`.
        slice_axis: which axis of a NIfTI counts slices.
        rim: whether voxels count that have a neighbour outside the region (of a layer: outside the
            whole cartilage) in their slice: they are partly bone or fluid.

    Returns:
        name -> (rows, cols, slices), not empty, in the order of `names`.

    Raises:
        InputError: no labels, none of that name, on another grid, or not one voxel of it; another
            layer, or cartilage without one.
    """
    path = labels_path(subject) or subject / KNOWN
    if not path.exists():
        raise InputError(
            f"expected the region {names[0]} in rois.nii.gz or {KNOWN}, found none: {subject}"
        )
    if path == subject / KNOWN:
        labels = read_map(path, scan, slice_axis=slice_axis)
        known = _known_names(subject / KNOWN_NAMES)
    else:
        labels, known = read_labels(path, scan)
    return {name: _region(name, labels, known, scan, path, rim) for name in names}


def region(subject: Path, scan: Volume, name: str, *, slice_axis: int = 2) -> NDArray[np.bool_]:
    """The voxels of one region; see `regions`."""
    return regions(subject, scan, [name], slice_axis=slice_axis)[name]


def _region(
    name: str, labels: NDArray, known: Mapping[str, int], scan: Volume, path: Path, rim: bool
) -> NDArray[np.bool_]:
    whole, _, layer = name.partition(":")
    if layer not in ("", *LAYERS):
        raise InputError(f"expected a layer {' or '.join(LAYERS)}, got {layer!r} in {name}")
    drawn = np.isin(labels, _labels_of(whole, known, labels, path))
    if not drawn.any():
        raise InputError(f"expected at least one voxel of the region {whole}, found none in {path}")
    inside = cartilage_layers.layers(drawn, scan, whole)[layer] if layer else drawn
    if not rim:
        inside = inside & ndimage.binary_erosion(drawn, IN_PLANE, border_value=1)
    if not inside.any():
        raise InputError(f"expected a voxel of {name}, found the region too thin for it: {path}")
    return inside


def _labels_of(roi: str, names: Mapping[str, int], labels: NDArray, path: Path) -> list[int]:
    found = [label for name, label in names.items() if name.startswith(roi)]
    if found:
        return found
    if names:
        raise InputError(
            f"expected a region {roi}, found only {', '.join(sorted(names))} named for {path}"
        )
    there = np.setdiff1d(labels, [0])
    if len(there) > 1:
        raise InputError(
            f"expected one label, or a JSON beside it that names them, got {len(there)}: {path}"
        )
    return there.tolist()


def _known_names(path: Path) -> Mapping[str, int]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["labels"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"expected the names of the labels under “labels” in {path}") from None


def true_t2(subject: Path, scan: Volume, *, slice_axis: int = 2) -> NDArray[np.floating] | None:
    """(rows, cols, slices) true T2 in ms on the grid of `scan`; None where it is not known."""
    path = subject / TRUE_T2
    return read_map(path, scan, slice_axis=slice_axis) if path.exists() else None
