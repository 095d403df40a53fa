"""A scan wherever it lies: a DICOM folder, a NIfTI file, one subject's folder or many."""

from pathlib import Path

from absl import logging

from mrsr_tf import dicom, nifti
from mrsr_tf.dicom.files import first_header, is_dicom
from mrsr_tf.dicom.series import frame_of_reference
from mrsr_tf.errors import InputError
from mrsr_tf.interpolated import ADVICE, interpolated_slices
from mrsr_tf.volume import Volume

IMAGES = ("image.nii.gz", "image.nii")
REGIONS = ("rois.nii.gz", "rois.nii")


def read_scan(path: str | Path, *, slice_axis: int = 2) -> Volume:
    """Reads a scan: a folder of DICOM, one DICOM file, a NIfTI file or a subject's folder.

    Says so in a warning where the scanner interpolated the slices.

    Args:
        path: a file or folder; what `find_subjects` gives is one.
        slice_axis: which axis of a NIfTI counts slices; DICOM knows its own.

    Raises:
        InputError: nothing there, or it cannot be read as one scan; the message names the file.
    """
    scan = scan_path(path)
    if nifti.is_nifti(scan):
        volume = nifti.read_nifti(scan, slice_axis=slice_axis)
    else:
        volume = dicom.read_series(scan)
    reason = interpolated_slices(volume)
    if reason:
        logging.warning("%s: %s; %s", path, reason, ADVICE)
    return volume


def scan_path(path: str | Path) -> Path:
    """Where in a subject's folder the scan is; a file is itself the scan.

    It is `dicom/`, else image.nii.gz, else the folder with all DICOM below it, else the one NIfTI
    beside rois.nii.gz.

    Raises:
        InputError: there is none, or several NIfTI files and none named image.nii.gz.
    """
    path = Path(path)
    scan = path if path.is_file() else _scan_in(path)
    if scan is None:
        raise InputError(f"expected a DICOM or NIfTI scan, found none at {path}")
    return scan


def find_subjects(path: str | Path) -> dict[str, Path]:
    """The subjects under `path`, by name: one folder or file each, all readable by `read_scan`.

    `path` is one subject when it is a file, holds DICOM files, `dicom/` or image.nii.gz itself, or
    when the folders in it hold parts of one scan (an echo each). Else each folder with a scan and
    each NIfTI file in it is a subject. Hidden and unfinished (`.partial`) entries do not count.

    Raises:
        InputError: no subject, two of one name, or two that are parts of one scan beside others.
    """
    path = Path(path)
    if path.is_file() or _is_subject(path):
        return {_name(path): path}
    entries = [entry for entry in _entries(path) if _is_scan(entry)]
    if not entries:
        raise InputError(
            f"expected subjects (folders or files of DICOM or NIfTI), found none in {path}"
        )
    if _parts_of_one_scan(entries):
        return {_name(path): path}
    subjects: dict[str, Path] = {}
    for entry in entries:
        if subjects.setdefault(_name(entry), entry) is not entry:
            raise InputError(
                f"expected one scan for each subject, got two named {_name(entry)} in {path}"
            )
    return subjects


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "partial.")) and entry.suffix != ".partial"
    )


def _is_subject(folder: Path) -> bool:
    """Whether the folder itself is a scan or has one under its known names."""
    own = any(entry.is_file() and is_dicom(entry) for entry in _entries(folder))
    return own or (folder / "dicom").is_dir() or any((folder / name).exists() for name in IMAGES)


def _is_scan(entry: Path) -> bool:
    return _is_image(entry) if entry.is_file() else _scan_in(entry) is not None


def _is_image(entry: Path) -> bool:
    return entry.is_file() and nifti.is_nifti(entry) and entry.name not in REGIONS


def _scan_in(folder: Path) -> Path | None:
    if (folder / "dicom").is_dir():
        return folder / "dicom"
    named = [folder / name for name in IMAGES if (folder / name).exists()]
    if named:
        return named[0]
    if first_header(folder) is not None:
        return folder
    images = [entry for entry in _entries(folder) if _is_image(entry)]
    if len(images) > 1:
        raise InputError(
            f"expected one scan in each subject's folder, got {len(images)} NIfTI files and none "
            f"named {IMAGES[0]} in {folder}"
        )
    return images[0] if images else None


def _parts_of_one_scan(entries: list[Path]) -> bool:
    """Whether the entries are the two echoes of one scan; raises if only some of them are."""
    echoes: dict[str, dict[tuple[str, str], Path]] = {}
    for entry in entries:
        header = first_header(entry) if entry.is_dir() else None
        if header is not None and frame_of_reference(header):
            echo = str(header.get("EchoNumbers")), str(header.get("EchoTime"))
            echoes.setdefault(frame_of_reference(header), {})[echo] = entry
    split = [parts for parts in echoes.values() if len(parts) > 1]
    if split and len(entries) > 2:
        first, second = list(split[0].values())[:2]
        raise InputError(
            f"expected each subject in one folder, got two echoes of one in {first} and {second}"
        )
    return bool(split)


def _name(path: Path) -> str:
    return path.resolve().name.removesuffix(".gz").removesuffix(".nii")
