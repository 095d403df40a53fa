"""A scan wherever it lies, read: DICOM, NIfTI or SKM-TEA's HDF5, with warnings of what is odd."""

from pathlib import Path

from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom, nifti, skm_tea, zipped_nifti
from mrsr_tf.io.discovery import find_subjects, scan_path
from mrsr_tf.mri.zero_filling import ADVICE, interpolated_slices
from mrsr_tf.volume import Volume

__all__ = ["find_subjects", "is_dicom_scan", "read_scan", "scan_path"]

DESS_TOLERANCE = 0.02


def read_scan(path: str | Path, *, slice_axis: int = 2) -> Volume:
    """Reads a scan: a folder, zip archive or file of DICOM, a NIfTI file or a subject's folder.

    Warns where the scanner interpolated the slices, and where the echo times are no DESS's.

    Args:
        path: a file or folder; what `find_subjects` gives is one.
        slice_axis: which axis of a NIfTI counts slices; DICOM knows its own.

    Raises:
        InputError: nothing there, it cannot be read as one scan, or an echo is all zeros; the
            message names the file.
    """
    scan = scan_path(path)
    if nifti.is_nifti(scan):
        volume = nifti.read_nifti(scan, slice_axis=slice_axis)
    elif zipped_nifti.holds_nifti(scan):
        volume = zipped_nifti.read_packed(scan, slice_axis=slice_axis)
    elif skm_tea.is_scan(scan):
        volume = skm_tea.read_scan(scan)
    else:
        volume = dicom.read_series(scan)
    for echo in range(volume.echoes):
        if not volume.array[..., echo].any():
            raise InputError(f"expected an image, got only zeros as echo {echo + 1} of {path}")
    _warn_of_echo_times(volume, path)
    reason = interpolated_slices(volume)
    if reason:
        logging.warning("%s: %s; %s", path, reason, ADVICE)
    return volume


def is_dicom_scan(scan: Path) -> bool:
    """Whether a scan (as `scan_path` gives it) is DICOM: in a folder, an archive or a file."""
    return not (nifti.is_nifti(scan) or zipped_nifti.holds_nifti(scan) or skm_tea.is_scan(scan))


def _warn_of_echo_times(volume: Volume, path: str | Path) -> None:
    times, repetition_time = volume.echo_times_ms, volume.repetition_time_ms
    if times is None or repetition_time is None or len(times) != 2:
        return
    if abs(sum(times) - 2 * repetition_time) > DESS_TOLERANCE * repetition_time:
        logging.warning(
            "expected the second echo of a DESS at 2 TR - TE1 = %g ms, got %g ms (TE1 %g, TR %g "
            "ms) in %s: its T2 map would be wrong",
            2 * repetition_time - times[0],
            times[1],
            times[0],
            repetition_time,
            path,
        )
