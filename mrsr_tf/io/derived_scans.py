"""Derived scans, written as their source is: DICOM as a folder of DICOM, all else as NIfTI.

Either stores how it was derived and from which source, so that a repeated call recognises its own
output.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.io import nifti
from mrsr_tf.io.discovery import MAPS, find_scan
from mrsr_tf.io.formats import format_of
from mrsr_tf.io.nifti_grid import same_grid
from mrsr_tf.io.scan_format import Derivation, Scan
from mrsr_tf.io.sidecar import DERIVATION, sidecar_path
from mrsr_tf.outputs import (
    check_configuration,
    check_output,
    followed,
    recover_output,
    unfinished_folder,
)
from mrsr_tf.outputs.places import is_occupied
from mrsr_tf.volume import Volume

COMMAND = "mrsr_tf.infer"  # which Python's `mrsr_tf.write` writes as


def check_replaceable(output: Path, source: Scan) -> None:
    """Checks that there is nothing at `output` but what this package derived, which is replaced.

    Raises:
        InputError: something else is there, or `output` is of another kind than `source`.
    """
    recover_output(followed(output), source.format.own_files, COMMAND)
    ending = source.format.output_ending
    if is_file_name(output) != bool(ending):
        expected = f"a name ending in {ending}" if ending else "a folder"
        scan = "not DICOM" if ending else "DICOM"
        raise InputError(f"expected {expected} for the output, as the scan is {scan}, got {output}")
    source.format.check_output(output)
    for path in maps_beside(output):
        is_there = path.exists() or sidecar_path(path).exists()
        if is_there and read_derivation(path) is None:
            raise InputError(f"expected no file or a map written by MRSR-TF, found another: {path}")
    places = [output]
    if is_file_name(output):
        places.append(sidecar_path(output))
        check_output(places[-1], [sidecar_path(source.path)])
    occupied = [place for place in places if is_occupied(place)]
    if occupied and read_derivation(output) is None:
        raise InputError(
            "expected a new name or a derived scan written by MRSR-TF, found other data: "
            f"{occupied[0]}"
        )


def check_unfinished(output: Path, derivation: Derivation) -> None:
    """Checks that there is no derived scan at `output`, which `check_replaceable` has checked.

    Raises:
        AlreadyDone: the derived scan of this derivation is there.
        InputError: another one is there.
    """
    existing = read_derivation(output) if output.exists() else None
    if existing is not None:
        check_configuration(output, {key: existing.get(key) for key in derivation}, derivation)
        raise AlreadyDone(output)


def write(
    volume: Volume,
    output: Path,
    *,
    source: Scan,
    derivation: Derivation,
    slice_axis: int = 2,
    uncertainty: Volume | None = None,
    t2_uncertainty_ms: NDArray[np.floating] | None = None,
) -> None:
    """Writes a derived scan, which replaces what is at `output` once it is whole.

    The derivation holds the `Volume.identity` of the source as "source". Maps of its
    uncertainty are NIfTI files beside it (see `maps_beside`); those of a replaced output are
    removed. `uncertainty` is in the unit of `volume`, `t2_uncertainty_ms` has (rows,
    cols, slices), and `slice_axis` is the axis of a NIfTI image that shall count slices.

    Raises:
        InputError: the header of the source does not suit the volume.
    """
    output = followed(output)
    with unfinished_folder(output, derivation, command=COMMAND) as partial:
        new = partial / output.name
        image, t2 = maps_beside(new)
        sidecar = {DERIVATION: derivation}
        if uncertainty is not None:
            nifti.write_nifti(uncertainty, image, slice_axis=slice_axis, sidecar=sidecar)
        if t2_uncertainty_ms is not None:
            in_ms = {"Units": "ms", **sidecar}
            nifti.write_map(t2_uncertainty_ms, volume, t2, slice_axis=slice_axis, sidecar=in_ms)
        source.format.write(volume, new, source, derivation, slice_axis)
        for path, new_map in zip(maps_beside(output), (image, t2), strict=True):
            nifti.replace_image(path, new_map)
        source.format.replace(output, new)  # last: it tells that the rest is there


def maps_beside(output: Path) -> tuple[Path, Path]:
    """The paths for the uncertainty of the image and that of T2: NAME_uncertainty.nii.gz, ..."""
    image, t2 = (beside(output, ending) for ending in MAPS)
    return image, t2


def beside(output: Path, ending: str) -> Path:
    """The path beside a derived scan that has its name and another ending."""
    name = output.name.removesuffix(".nii.gz").removesuffix(".nii")
    return output.with_name(name + ending)


def find_derived(path: Path) -> Scan:
    """Finds a derived scan of this package, also of a series that is no DESS, or any other scan.

    Raises:
        InputError: as `find_scan`.
    """
    if path.exists() and read_derivation(path) is not None:
        return Scan(path, path, format_of(path))
    return find_scan(path)


def read_uncertainty(
    output: Path, volume: Volume, slice_axis: int = 2
) -> tuple[Volume | None, NDArray[np.floating] | None]:
    """The maps that `write` wrote beside the derived scan `volume`; None for one that is not there.

    Returns:
        Standard deviations of the image, and of T2 in ms (rows, cols, slices).

    Raises:
        InputError: a map is damaged or lies on another grid than the scan.
    """
    image, t2 = maps_beside(output)
    deviation = nifti.read_nifti(image, slice_axis=slice_axis) if image.exists() else None
    if deviation is not None and not _on_one_grid(deviation, volume):
        raise InputError(f"expected a map on the grid of its scan, got another grid: {image}")
    t2_ms = nifti.read_map(t2, volume, slice_axis=slice_axis) if t2.exists() else None
    return deviation, t2_ms


def _on_one_grid(volume: Volume, other: Volume) -> bool:
    shape = volume.array.shape
    return shape == other.array.shape and same_grid(volume.affine, other.affine, shape[:3])


def read_derivation(path: Path) -> dict[str, Any] | None:
    """How a scan was derived; None for one that this package did not derive."""
    return format_of(path).read_derivation(path)


def is_file_name(output: Path) -> bool:
    """Whether `output` names a single file, so that several derived scans have no room there."""
    return nifti.is_nifti(output)
