"""A derived scan goes out as its source came in: DICOM to a DICOM folder, all else to NIfTI.

Either carries its derivation (how it was made, from which source), by which the same call is told
from another one.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.io import dicom, echo_files, nifti
from mrsr_tf.io.discovery import MAPS
from mrsr_tf.io.scans import is_dicom_scan, scan_path
from mrsr_tf.io.sidecar import DERIVATION, read_sidecar, sidecar_path
from mrsr_tf.outputs import check_configuration, held
from mrsr_tf.volume import Volume


def check_new(
    output: Path, source: Path, derivation: Mapping[str, Any], *, overwrite: bool
) -> None:
    """Makes sure that nothing of worth stands at `output`.

    Args:
        output: where a derived scan shall be written.
        source: the scan it shall be made from.
        derivation: how.
        overwrite: another derived scan there may be replaced; anything else never is.

    Raises:
        AlreadyDone: the same derived scan is there.
        InputError: something else is there, or `output` is of another kind than `source`.
    """
    from_dicom = is_dicom_scan(scan_path(source))
    if from_dicom == nifti.is_nifti(output):
        expected = "a folder for DICOM" if from_dicom else "a name ending in .nii.gz"
        raise InputError(f"expected {expected} for the output, as the input is, got {output}")
    for beside in maps_beside(output):
        if beside.exists() and read_derivation(beside) is None:
            raise InputError(f"expected no file or a map of ours, found another: {beside}")
    if not output.exists():
        return
    found = read_derivation(output)
    if found is None:
        raise InputError(
            f"expected a new name or a derived scan of ours, found other data: {output}"
        )
    if not overwrite:
        wanted = {**derivation, "source": source_digest(source)}
        check_configuration(output, {key: found.get(key) for key in wanted}, wanted)
        raise AlreadyDone(f"{output} is finished: nothing to do (--overwrite makes it anew)")


def write(
    volume: Volume,
    output: Path,
    *,
    source: Path,
    derivation: Mapping[str, Any],
    slice_axis: int = 2,
    uncertainty: Volume | None = None,
    t2_uncertainty_ms: NDArray[np.floating] | None = None,
) -> None:
    """Writes a derived scan; what stood at `output` is replaced once the new one is whole.

    Maps of its uncertainty are NIfTI files beside it, see `maps_beside`; those of an output that
    is replaced go with it.

    Args:
        volume: the derived scan, all echoes.
        output: a folder for DICOM, one series per echo; or the NIfTI file.
        source: the scan it was made from.
        derivation: how it was made; plain JSON values.
        slice_axis: of a NIfTI.
        uncertainty: of each voxel, in the unit of `volume`.
        t2_uncertainty_ms: (rows, cols, slices).

    Raises:
        InputError: the source's header cannot be carried over.
    """
    told = {DERIVATION: {**derivation, "source": source_digest(source)}}
    _write_maps(volume, output, told, slice_axis, uncertainty, t2_uncertainty_ms)
    if nifti.is_nifti(output):
        nifti.write_nifti(volume, output, slice_axis=slice_axis, sidecar=told)
        return
    partial = output.with_name(output.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    with held(partial):
        for left_by_a_killed_call in partial.iterdir():
            left_by_a_killed_call.unlink()
        try:
            dicom.write_series(volume, partial, like=scan_path(source), derivation=derivation)
            shutil.rmtree(output, ignore_errors=True)
            partial.rename(output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def maps_beside(output: Path) -> tuple[Path, Path]:
    """Where the uncertainty of the image and that of T2 stand: NAME_uncertainty.nii.gz, ..."""
    name = output.name
    for ending in (".gz", ".nii") if nifti.is_nifti(output) else ():
        name = name.removesuffix(ending)
    image, t2 = (output.with_name(name + ending) for ending in MAPS)
    return image, t2


def _write_maps(
    volume: Volume,
    output: Path,
    told: Mapping[str, Any],
    slice_axis: int,
    uncertainty: Volume | None,
    t2_uncertainty_ms: NDArray[np.floating] | None,
) -> None:
    image, t2 = maps_beside(output)
    for path in (image, t2):
        path.unlink(missing_ok=True)
        sidecar_path(path).unlink(missing_ok=True)
    if uncertainty is not None:
        nifti.write_nifti(uncertainty, image, slice_axis=slice_axis, sidecar=told)
    if t2_uncertainty_ms is not None:
        in_ms = {"Units": "ms", **told}
        nifti.write_map(t2_uncertainty_ms, volume, t2, slice_axis=slice_axis, sidecar=in_ms)


def read_derivation(path: Path) -> dict[str, Any] | None:
    """How a derived scan was made; None where the scan is not one of ours."""
    if nifti.is_nifti(path):
        return read_sidecar(path).get(DERIVATION)
    return dicom.read_derivation(path)


def source_digest(path: Path) -> str:
    """Which scan it is, without telling whose."""
    scan = scan_path(path)
    if is_dicom_scan(scan):
        return dicom.source_digest(scan)
    digest = hashlib.sha256()
    for file in filter(None, (scan, echo_files.second_echo(scan))):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
