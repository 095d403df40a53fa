"""Regions of interest and the true T2 of a subject, on the grid of its scan."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from eval.regions import cartilage_layers
from mrsr_tf.errors import InputError
from mrsr_tf.io.labels import Label, LabelMap, labels_path, read_labels
from mrsr_tf.io.labels.names import region_name
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
    """The voxels of each region: all labels whose names start with its words, or a layer of them.

    The labels are those drawn for the subject on any grid (see `labels.labels_path`), else those of
    a phantom on the grid of the scan. If nothing names the labels, the only one is any region.

    Args:
        subject: the subject's folder.
        scan: its scan.
        names: such as "medial_femoral_cartilage", which for a phantom is both of its layers, in
            any spelling that `names.region_name` takes; "medial_femoral_cartilage:deep" and
            ":superficial" are the halves by depth, see `cartilage_layers.layers`.
        slice_axis: which axis of a NIfTI counts slices.
        rim: whether to keep voxels that have a neighbour outside the region (for a layer, outside
            the whole cartilage) in their slice, and so are partly bone or fluid.

    Returns:
        name -> (rows, cols, slices), never empty, in the order of `names`.

    Raises:
        InputError: there are no labels, none of that name, or no voxel of it in the scan; or the
            layer is unknown or the cartilage has none.
    """
    labels = subject_labels(subject, scan, slice_axis=slice_axis)
    if labels is None:
        raise InputError(
            f"expected the region {names[0]} in rois.nii.gz, rois.seg.nrrd, rois.dcm or "
            f"{FOLDER}/{LABELS}, found none: {subject}"
        )
    path = _path(subject)
    return {name: _region(name, labels, scan, path, rim) for name in names}


def subject_labels(subject: Path, scan: Volume, *, slice_axis: int = 2) -> LabelMap | None:
    """The labels that are drawn for a subject, else those of a phantom, on the grid of its scan.

    None if there are none. The arguments and errors are those of `regions`.
    """
    path = _path(subject)
    if not path.exists():
        return None
    if path == truth_path(subject, LABELS):
        return _phantom_labels(subject, scan, slice_axis)
    return read_labels(path, scan)


def _path(subject: Path) -> Path:
    return labels_path(subject) or truth_path(subject, LABELS)


def _phantom_labels(subject: Path, scan: Volume, slice_axis: int) -> LabelMap:
    layer = read_map(truth_path(subject, LABELS), scan, slice_axis=slice_axis)
    names = {name: Label(0, value) for name, value in label_names(subject).items()}
    return LabelMap([layer], scan.affine, names)


def _region(name: str, labels: LabelMap, scan: Volume, path: Path, rim: bool) -> NDArray[np.bool_]:
    region, _, layer = name.partition(":")
    if layer not in ("", *LAYERS):
        raise InputError(f"expected a layer {' or '.join(LAYERS)}, got {layer!r} in {name}")
    mask = labels.mask(_labels_of(region_name(region), labels, path))
    if not mask.any():
        raise InputError(
            f"expected at least one voxel of the region {region}, found none in {path}"
        )
    inside = cartilage_layers.layers(mask, scan, region_name(region))[layer] if layer else mask
    if not rim:
        inside = inside & ndimage.binary_erosion(mask, IN_PLANE, border_value=1)
    if not inside.any():
        raise InputError(f"expected a voxel of {name}, found the region too thin for it: {path}")
    return inside


def _labels_of(region: str, labels: LabelMap, path: Path) -> list[Label]:
    """The labels of the region's name, or of names that continue it by further words."""
    labels_of_region = [
        label for name, label in labels.names.items() if f"{name}_".startswith(f"{region}_")
    ]
    if labels_of_region:
        return labels_of_region
    if labels.names:
        raise InputError(
            f"expected a region {region}, found only {', '.join(sorted(labels.names))} named for "
            f"{path}"
        )
    if len(labels.labels) > 1:
        raise InputError(
            f"expected one label, or a table beside it that names them, got {len(labels.labels)}: "
            f"{path}"
        )
    return labels.labels


def true_t2(subject: Path, scan: Volume, *, slice_axis: int = 2) -> NDArray[np.floating] | None:
    """(rows, cols, slices) true T2 in ms on the grid of `scan`; None if it is unknown."""
    path = truth_path(subject, T2)
    return read_map(path, scan, slice_axis=slice_axis) if path.exists() else None
