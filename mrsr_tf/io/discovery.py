"""Finds the scans in a folder, in each of the layouts that data sets have on disk."""

from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import files_at
from mrsr_tf.io.bids import without_echo
from mrsr_tf.io.dicom.encoding import is_dicom
from mrsr_tf.io.dicom.exam import parts_of_exams
from mrsr_tf.io.formats import FORMATS, format_of
from mrsr_tf.io.scan_format import Scan
from mrsr_tf.outputs import UNFINISHED

IMAGES = ("image.nii.gz", "image.nii")
REGIONS = ("rois.nii.gz", "rois.nii")
MAPS = ("_uncertainty.nii.gz", "_t2_uncertainty_ms.nii.gz")  # beside a derived scan
SKM_TEA = ("dicoms", "image_files")  # the first of these folders that exists holds the subjects
BIDS = "anat"  # the folder of a BIDS subject that holds such scans


def find_scan(path: str | Path, series: str | None = None) -> Scan:
    """Finds the scan of one subject, given the subject's folder or a file.

    A file is itself the scan. In a folder it is `dicom/`, else image.nii.gz, else the folder with
    all DICOM files below it, else the only NIfTI, zip archive or SKM-TEA file beside rois.nii.gz
    or in the anat/ of BIDS. Of NIfTI files named _echo-1 and _echo-2 it is the first. Of an exam in
    DICOM it is the DESS, or the `series` of this number or description.

    Raises:
        InputError: there is none, or several of which nothing tells which is meant.
    """
    scans = _scans_of(Path(path), series)
    if len(scans) > 1:
        raise InputError(
            f"expected one scan, got {len(scans)} ({', '.join(scans)}) in {path}: --series=NUMBER "
            "or the path of one chooses"
        )
    return next(iter(scans.values()))


def find_scans(
    path: str | Path,
    series: str | None = None,
    onerror: Callable[[Path, InputError], object] | None = None,
) -> dict[str, Scan]:
    """Finds the scans in a folder, by the names of their subjects.

    `path` is one subject if it is a file, if it directly contains DICOM files, `dicom/` or
    image.nii.gz, or if its folders contain the series of one exam. Otherwise each folder with a
    scan, each NIfTI file, zip archive and SKM-TEA file in it is a subject. A subject with several
    scans (such as <visit>/<release>/<patient>/<date>/<barcode> of OAI) gives one for each, named by
    the folders that distinguish them, or by the numbers of their series in one exam; see
    `dicom.exam`. The folder of the SKM-TEA data set has its subjects in dicoms/, else in
    image_files/. Hidden and unfinished (`.partial`, `.replaced`) entries are ignored.

    Args:
        path: of a subject, or of the folder of all.
        series: the number or description of the DICOM series to take of each subject.
        onerror: called with the path of each of several subjects that has no usable scan, and why;
            by default the error is raised.

    Raises:
        InputError: there is no subject, or two are parts of one exam while there are others.
    """
    scans: dict[str, Scan] = {}
    subjects = _find_subjects(Path(path))
    for subject in tqdm(subjects, "subjects", unit="subject", disable=None, delay=2):
        try:
            _add(scans, _scans_of(subject, series), subject)
        except InputError as error:
            if onerror is None or len(subjects) == 1:
                raise
            onerror(subject, error)
    return scans


def _add(scans: dict[str, Scan], new: dict[str, Scan], subject: Path) -> None:
    for name in new:
        if name in scans:
            raise InputError(
                f"expected one scan for each subject, got two named {name}: {scans[name]} and "
                f"{subject}"
            )
    scans |= new


def _scans_of(subject: Path, series: str | None) -> dict[str, Scan]:
    """The scans of one subject, by name."""
    path = _scan_in(subject) if subject.is_dir() else subject
    if path is None or not path.exists():
        raise InputError(f"expected a DICOM or NIfTI scan, found none at {subject}")
    scans = format_of(path).find(subject, path, series)
    return {f"{_name(subject)}_{name}".rstrip("_"): scan for name, scan in scans.items()}


def _find_subjects(path: Path) -> list[Path]:
    if path.is_file() or _is_subject(path):
        return [path]
    for name in SKM_TEA:
        if (path / name).is_dir():
            return _find_subjects(path / name)
    entries = [entry for entry in _entries(path) if _may_have_scan(entry)]
    if not entries:
        raise InputError(
            f"expected subjects (folders or files of DICOM or NIfTI), found none in {path}"
        )
    return [path] if _are_one_exam(entries) else entries


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "partial.")) and entry.suffix not in UNFINISHED
    )


def _is_subject(folder: Path) -> bool:
    """Whether the folder itself is a scan or has one under its usual names."""
    has_dicom = any(entry.is_file() and is_dicom(entry) for entry in _entries(folder))
    has_image = any((folder / name).exists() for name in IMAGES)
    return has_dicom or (folder / "dicom").is_dir() or has_image


def _may_have_scan(entry: Path) -> bool:
    """Whether it is a scan, a folder of scans, or a folder of nothing, where a scan was meant."""
    if entry.is_file():
        return _is_scan_file(entry)
    try:
        return _scan_in(entry) is not None or not files_at(entry)
    except InputError:  # it is raised again when the scan is read
        return True


def _is_scan_file(entry: Path) -> bool:
    """Whether a file is a scan by itself: no mask or map, nor the second of two echoes."""
    if not entry.is_file() or entry.name in REGIONS or entry.name.endswith(MAPS):
        return False
    return format_of(entry).is_scan_file(entry)


def _scan_in(folder: Path) -> Path | None:
    if (folder / "dicom").is_dir():
        return folder / "dicom"
    named = [folder / name for name in IMAGES if (folder / name).exists()]
    if named:
        return named[0]
    if any(map(is_dicom, files_at(folder))):
        return folder
    files = [entry for entry in _entries(folder) if _is_scan_file(entry)]
    if len(files) > 1:
        raise InputError(
            f"expected one scan in each subject's folder, got {len(files)} files and none "
            f"named {IMAGES[0]} in {folder}"
        )
    if not files and (folder / BIDS).is_dir():
        return _scan_in(folder / BIDS)
    return files[0] if files else None


def _are_one_exam(entries: list[Path]) -> bool:
    """Whether the entries are series of one exam; raises if only some of them are."""
    exams = parts_of_exams([entry for entry in entries if entry.is_dir()])
    if len(exams) > 1 or (exams and len(exams[0]) < len(entries)):
        first, second = exams[0][:2]
        raise InputError(
            f"expected each subject in one folder, got parts of one exam in {first} and {second}"
        )
    return bool(exams)


def _name(path: Path) -> str:
    name = without_echo(path.resolve().name)
    endings = [ending for scan_format in FORMATS for ending in scan_format.endings]
    matching = (ending for ending in endings if name.lower().endswith(ending))
    return next((name[: -len(ending)] for ending in matching), name)
