"""Regions of interest and the true T2 of a subject, on the grid of its scan."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from eval.regions import cartilage_layers
from mrsr_tf.errors import InputError
from mrsr_tf.io.labels import labels_path, read_labels
from mrsr_tf.io.nifti import read_map
from mrsr_tf.io.truth_files import FOLDER, LABELS, T2, label_names, truth_path
from mrsr_tf.volume import Volume

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

    The labels are those drawn for the subject on any grid (see `labels.labels_path`), else those of
    a phantom on the grid of the scan. If nothing names the labels, the only one is any region.

    Args:
        subject: the subject's folder.
        scan: its scan.
        names: such as "medial_femoral_cartilage", which for a phantom is both of its layers;
            "medial_femoral_cartilage:deep" and ":superficial" are the halves by depth, see
            `cartilage_layers.layers`.
        slice_axis: which axis of a NIfTI counts slices.
        rim: whether to keep voxels that have a neighbour outside the region (for a layer, outside
            the whole cartilage) in their slice, and so are partly bone or fluid.

    Returns:
        name -> (rows, cols, slices), never empty, in the order of `names`.

    Raises:
        InputError: there are no labels, none of that name, or no voxel of it in the scan; or the
            layer is unknown or the cartilage has none.
    """
    manual_path, phantom_path = labels_path(subject), truth_path(subject, LABELS)
    if manual_path is not None:
        labels, names_of_labels = read_labels(manual_path, scan)
    elif phantom_path.exists():
        labels = read_map(phantom_path, scan, slice_axis=slice_axis)
        names_of_labels = label_names(subject)
    else:
        raise InputError(
            f"expected the region {names[0]} in rois.nii.gz or {FOLDER}/{LABELS}, found none: "
            f"{subject}"
        )
    path = manual_path or phantom_path
    return {name: _region(name, labels, names_of_labels, scan, path, rim) for name in names}


def _region(
    name: str, labels: NDArray, names: Mapping[str, int], scan: Volume, path: Path, rim: bool
) -> NDArray[np.bool_]:
    region, _, layer = name.partition(":")
    if layer not in ("", *LAYERS):
        raise InputError(f"expected a layer {' or '.join(LAYERS)}, got {layer!r} in {name}")
    mask = np.isin(labels, _labels_of(region, names, labels, path))
    if not mask.any():
        raise InputError(
            f"expected at least one voxel of the region {region}, found none in {path}"
        )
    inside = cartilage_layers.layers(mask, scan, region)[layer] if layer else mask
    if not rim:
        inside = inside & ndimage.binary_erosion(mask, IN_PLANE, border_value=1)
    if not inside.any():
        raise InputError(f"expected a voxel of {name}, found the region too thin for it: {path}")
    return inside


def _labels_of(roi: str, names: Mapping[str, int], labels: NDArray, path: Path) -> list[int]:
    labels_of_roi = [label for name, label in names.items() if name.startswith(roi)]
    if labels_of_roi:
        return labels_of_roi
    if names:
        raise InputError(
            f"expected a region {roi}, found only {', '.join(sorted(names))} named for {path}"
        )
    present = np.setdiff1d(labels, [0])
    if len(present) > 1:
        raise InputError(
            f"expected one label, or a JSON beside it that names them, got {len(present)}: {path}"
        )
    return present.tolist()


def true_t2(subject: Path, scan: Volume, *, slice_axis: int = 2) -> NDArray[np.floating] | None:
    """(rows, cols, slices) true T2 in ms on the grid of `scan`; None if it is unknown."""
    path = truth_path(subject, T2)
    return read_map(path, scan, slice_axis=slice_axis) if path.exists() else None
