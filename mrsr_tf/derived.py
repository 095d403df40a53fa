"""A derived scan goes out as its source came in: DICOM to a DICOM folder, NIfTI to NIfTI.

Either carries its derivation (how it was made, from which source), by which the same call is told
from another one.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrsr_tf import dicom, nifti
from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.outputs import check_configuration
from mrsr_tf.scans import scan_path
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
    kinds = [nifti.is_nifti(path) for path in (scan_path(source), output)]
    if kinds[0] != kinds[1]:
        expected = "a name ending in .nii.gz" if kinds[0] else "a folder for DICOM"
        raise InputError(f"expected {expected} for the output, as the input is, got {output}")
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
) -> None:
    """Writes a derived scan; what stood at `output` is replaced once the new one is whole.

    Args:
        volume: the derived scan, all echoes.
        output: a folder for DICOM, one series per echo; or the NIfTI file.
        source: the scan it was made from.
        derivation: how it was made; plain JSON values.
        slice_axis: of a NIfTI.

    Raises:
        InputError: the source's header cannot be carried over.
    """
    if nifti.is_nifti(output):
        told = {nifti.DERIVATION: {**derivation, "source": source_digest(source)}}
        nifti.write_nifti(volume, output, slice_axis=slice_axis, sidecar=told)
        return
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        dicom.write_series(volume, partial, like=scan_path(source), derivation=derivation)
        shutil.rmtree(output, ignore_errors=True)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_derivation(path: Path) -> dict[str, Any] | None:
    """How a derived scan was made; None where the scan is not one of ours."""
    if nifti.is_nifti(path):
        return nifti.read_sidecar(path).get(nifti.DERIVATION)
    return dicom.read_derivation(path)


def source_digest(path: Path) -> str:
    """Which scan it is, without telling whose."""
    scan = scan_path(path)
    if not nifti.is_nifti(scan):
        return dicom.source_digest(scan)
    with scan.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
