"""Reading and writing scans of any format."""

from pathlib import Path

from mrsr_tf.io import derived_scans
from mrsr_tf.io.discovery import find_scan, find_scans
from mrsr_tf.io.scan_format import Derivation, Scan
from mrsr_tf.volume import Volume

__all__ = ["Scan", "find_scan", "find_scans", "read_scan", "write_scan"]


def read_scan(path: str | Path | Scan, slice_axis: int = 2, series: str | None = None) -> Volume:
    """Reads a scan: a folder, zip archive or file of DICOM, a NIfTI file or a subject's folder.

    Args:
        path: a path that `find_scan` takes, or what `find_scan` or `find_scans` returned.
        slice_axis: which axis of a NIfTI image counts slices; the other formats record it.
        series: the number or the description of the DICOM series to take of an exam; by default
            its DESS.

    Raises:
        InputError: there is no scan, it cannot be read as one, or an echo is all zeros; the
            message names the file.
    """
    scan = path if isinstance(path, Scan) else find_scan(path, series)
    return scan.read(slice_axis)


def write_scan(
    volume: Volume,
    path: str | Path,
    *,
    like: str | Path | Scan,
    derivation: Derivation | None = None,
    slice_axis: int = 2,
) -> None:
    """Writes a derived scan as its source was: DICOM to a folder of DICOM, all else to NIfTI.

    An existing derived scan of this package is replaced, other data never.

    Args:
        volume: the derived scan, all echoes.
        path: a folder for DICOM, else a name ending in .nii.gz.
        like: the source, for patient, study and acquisition.
        derivation: how the scan was derived, as plain JSON values. UIDs of DICOM follow from it;
            without it they are new each time.
        slice_axis: which axis of a NIfTI image shall count slices.

    Raises:
        InputError: `path` is of another kind than `like` or holds other data, or the header of
            `like` does not suit the volume.
    """
    source = like if isinstance(like, Scan) else find_scan(like)
    output, derivation = Path(path), derivation or {}
    derived_scans.check_replaceable(output, source)
    derived_scans.write(volume, output, source=source, derivation=derivation, slice_axis=slice_axis)
