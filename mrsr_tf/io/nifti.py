"""NIfTI images, with the acquisition in a JSON sidecar beside the image (see `sidecar`).

NIfTI has (column, row, slice[, echo]) and an affine to RAS; a `Volume` has (row, column, slice,
echo) and one to LPS. Another slice axis is moved last when reading and back when writing, and
slices keep their direction, so an image is written in the axis order in which it was read.

Two echoes are one image with the echoes last, or two 3-D images (see `echo_files`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf import outputs
from mrsr_tf.errors import InputError
from mrsr_tf.io import bids, bids_dataset, nifti_file, nifti_grid
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.echo_files import ENDINGS, EchoFile, choose_scans, group_of
from mrsr_tf.io.scan_format import Chosen, Derivation, Format, Scan
from mrsr_tf.io.sidecar import (
    DERIVATION,
    acquisition,
    acquisition_sidecar,
    read_sidecar,
    sidecar_path,
)
from mrsr_tf.volume import Volume

WRITTEN = (".nii.gz", ".nii")
Sidecar = Mapping[str, Any]  # plain JSON values


class NiftiDerived(Format):
    """Base of the formats whose derived scans are NIfTI files."""

    output_ending = ".nii.gz"

    def patient(self, scan: Scan) -> str | None:
        """The sub-<label> of BIDS in the path."""
        return bids.subject_entity(scan.path)

    def write(
        self, volume: Volume, output: Path, like: Scan, derivation: Derivation, slice_axis: int = 2
    ) -> None:
        """Writes an image with the derivation in its sidecar."""
        source = derivation.get("source") or self.read(like, slice_axis).identity
        sidecar = bids_dataset.derivative_sidecar(output, like.path)
        sidecar |= {DERIVATION: {**derivation, "source": source}}
        write_nifti(volume, output, slice_axis=slice_axis, sidecar=sidecar)

    def replace(self, output: Path, new: Path) -> None:
        """Replaces the image and then its sidecar."""
        replace_image(output, new)

    def check_output(self, output: Path) -> None:
        """Refuses to change a sidecar that belongs to another image."""
        stem = bids.stem(output)
        for image in (output.with_name(stem + ending) for ending in (*ENDINGS, ".h5")):
            if image != output and image.exists():
                raise InputError(
                    f"expected a sidecar of its own for {output}, got {sidecar_path(output).name}, "
                    f"which is also that of {image}"
                )

    def read_derivation(self, output: Path) -> dict[str, Any] | None:
        """The derivation in the sidecar."""
        return read_sidecar(output).get(DERIVATION)


@dataclass(frozen=True)
class Nifti(NiftiDerived):
    """One NIfTI image, or one for each echo, the first of which is the scan's path."""

    endings = ENDINGS

    def matches(self, path: Path) -> bool:
        """Whether the name ends in .nii, .nii.gz or .hdr."""
        return is_nifti(path)

    def choose(self, files: Sequence[Path]) -> Chosen:
        """The first file of each scan, without phase images and other sequences."""
        return choose_scans([file for file in files if file.suffix.lower() != ".img"])

    def are_repeats(self, files: Sequence[Path]) -> bool:
        """Whether each is a DESS and has a number or entities of its own."""
        groups = [group_of(file) for file in files]
        labels = {group.repeat for group in groups} - {None}
        return len(labels) == len(groups) and all(group.is_dess for group in groups)

    def name(self, path: Path) -> str:
        """What the names of the echoes have in common."""
        return group_of(path).name

    def read(self, scan: Scan, slice_axis: int = 2) -> Volume:
        """Reads the image, or both echoes."""
        return read_nifti(scan.path, slice_axis=slice_axis)


def is_nifti(path: Path) -> bool:
    """Whether the name ends as that of a NIfTI file, or of the image beside a header NAME.hdr."""
    is_image = path.suffix.lower() == ".img" and nifti_file.pair(path)[0].is_file()
    return is_image or path.name.lower().endswith(ENDINGS)


def read_nifti(path: str | Path, *, slice_axis: int = 2) -> Volume:
    """Reads a 3-D image (one echo) or one with one or two echoes last, and its sidecar.

    A 3-D image that is the first echo is read together with the second in the same folder.
    `slice_axis` is the axis of the file that counts slices: 0, 1 or 2.

    Raises:
        InputError: the file is missing, damaged, of another shape, not finite, no magnitude, or
            clearly coarser along another axis than `slice_axis`; its sidecar is unreadable or
            contradicts it; or the other echo has another grid, repetition time or flip angle, or
            is not the only one.
    """
    path = Path(path)
    if not EchoFile(path).is_magnitude:
        raise InputError(f"expected a magnitude image, got a phase, real or imaginary one: {path}")
    group = group_of(path)
    first = _read_image(path, slice_axis)
    if first.echoes == 2 or len(group.files) == 1:
        return first
    if not group.is_told_apart:
        names = " and ".join(file.name for file in group.paths)
        logging.warning(
            "%s in %s are taken as echoes 1 and 2 by their names alone", names, path.parent
        )
    other = group.paths[1]
    return _join_echoes(first, _read_image(other, slice_axis), path, other)


def _read_image(path: Path, slice_axis: int) -> Volume:
    image = nifti_file.load(path)
    echoes = [size for size in image.shape[3:] if size > 1] or [1]
    if image.ndim < 3 or len(echoes) > 1 or echoes[0] > 2:
        raise InputError(
            f"expected a 3-D NIfTI, or one with one or two echoes last, got shape "
            f"{image.shape} in {path}"
        )
    sidecar = read_sidecar(path)
    affine = nifti_grid.lps(image, path)
    nifti_grid.check_slice_axis(affine, path, sidecar, slice_axis)
    nifti_grid.check_unit(image, path)
    with refuse_damaged(path, nifti_file.WHOLE):
        data = image.get_fdata("unchanged", np.float32)
    array = nifti_grid.to_rows(data.reshape(*image.shape[:3], *echoes, order="F"), slice_axis)
    values = acquisition(sidecar, sidecar_path(path), echoes=echoes[0])
    try:
        return Volume(array, nifti_grid.in_rows(affine, slice_axis), **values)
    except InputError as error:
        raise InputError(f"{error} in {path}") from None


def _join_echoes(first: Volume, second: Volume, path: Path, other: Path) -> Volume:
    _check_same_scan(first, second, path, other)
    times = None
    if first.echo_times_ms and second.echo_times_ms:
        times = (*first.echo_times_ms, *second.echo_times_ms)
        if times[1] <= times[0]:
            raise InputError(
                f"expected echo 2 after echo 1, got echo times of {times[0]:g} and {times[1]:g} "
                f"ms: beside {path} and {other}"
            )
    array = np.concatenate([first.array, second.array], axis=3)
    return replace(first, array=array, echo_times_ms=times)


def _check_same_scan(first: Volume, second: Volume, path: Path, other: Path) -> None:
    if second.array.shape != first.array.shape:
        raise InputError(
            f"expected two echoes of one matrix, got {first.array.shape[:3]} and "
            f"{second.array.shape[:3]}: in {path} and {other}"
        )
    if not nifti_grid.same_grid(first.affine, second.affine, first.array.shape[:3]):
        raise InputError(
            f"expected two echoes on one grid, got different grids: {path} and {other}"
        )
    for name in ("repetition_time_ms", "flip_angle_deg", "spoiler_area", "spoiler_duration_us"):
        values = getattr(first, name), getattr(second, name)
        if values[0] != values[1]:
            raise InputError(
                f"expected one {name.replace('_', ' ')}, got {values[0]} and {values[1]}: beside "
                f"{path} and {other}"
            )


def read_map(path: str | Path, volume: Volume, *, slice_axis: int = 2) -> NDArray[Any]:
    """Reads a 3-D map or label image on the grid of `volume`.

    Returns:
        (rows, cols, slices) in the type of the file; NaN is kept.

    Raises:
        InputError: the file is missing or damaged, or lies on another grid.
    """
    path = Path(path)
    image = nifti_file.load(path)
    array = nifti_file.stored_values(image, path)
    shape = volume.array.shape[:3]
    if array.ndim != 3 or nifti_grid.to_rows(array, slice_axis).shape != shape:
        raise InputError(
            f"expected a map of the scan's {shape} voxels, got {array.shape} in {path}"
        )
    affine = nifti_grid.in_rows(nifti_grid.lps(image, path), slice_axis)
    if not nifti_grid.same_grid(volume.affine, affine, shape):
        raise InputError(
            f"expected a map at the position of its scan, got another position: {path}"
        )
    return nifti_grid.to_rows(array, slice_axis)


def write_nifti(
    volume: Volume, path: str | Path, *, slice_axis: int = 2, sidecar: Sidecar | None = None
) -> None:
    """Writes float32, 3-D for one echo and 4-D for two, and its sidecar; each appears once whole.

    `sidecar` holds further keys for the sidecar.

    Raises:
        InputError: `path` ends neither in .nii nor in .nii.gz.
    """
    array = volume.array if volume.echoes > 1 else volume.array[..., 0]
    content = acquisition_sidecar(volume) | {"SliceAxis": slice_axis} | dict(sidecar or {})
    _save(array, volume, Path(path), slice_axis, content)


def write_map(
    array: NDArray[Any],
    volume: Volume,
    path: str | Path,
    *,
    slice_axis: int = 2,
    sidecar: Sidecar | None = None,
) -> None:
    """Writes a 3-D map (as float32) or labels (as the smallest integers that hold them).

    `array` is (rows, cols, slices) on the grid of `volume`; NaN is kept. `sidecar` is the content
    of a JSON file beside it, such as {"Units": "ms"}; None for no file.

    Raises:
        InputError: the array has another shape than the scan, or `path` another ending.
    """
    if array.shape != volume.array.shape[:3]:
        raise InputError(f"expected a map of {volume.array.shape[:3]} voxels, got {array.shape}")
    is_map = array.dtype.kind == "f"
    dtype = np.float32 if is_map else _integer_type(int(array.min()), int(array.max()))
    _save(array.astype(dtype), volume, Path(path), slice_axis, sidecar)


def _save(
    array: NDArray[Any], volume: Volume, path: Path, slice_axis: int, sidecar: Sidecar | None
) -> None:
    if not path.name.endswith(WRITTEN):
        raise InputError(f"expected a name ending in .nii or .nii.gz, got {path}")
    if sidecar is None:
        nifti_file.save(array, volume.affine, path, slice_axis)
        return
    with outputs.output_file(sidecar_path(path)) as partial:
        outputs.write_json(partial, sidecar)
        nifti_file.save(array, volume.affine, path, slice_axis)


def replace_image(path: Path, new: Path) -> None:
    """Gives the image `new` and its sidecar the name `path`; without one, removes what is there.

    The file that says that the image is finished is last: the sidecar, or the first image.
    """
    files = [(path, new), (sidecar_path(path), sidecar_path(new))]
    for old_file, new_file in files if path.exists() else reversed(files):
        if new_file.exists():
            new_file.replace(old_file)
        else:
            old_file.unlink(missing_ok=True)


def _integer_type(lowest: int, highest: int) -> type[np.integer]:
    for dtype in (np.uint8, np.int16, np.int32):
        if np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max:
            return dtype
    raise InputError(f"expected labels of up to 32 bits, got {lowest} to {highest}")
