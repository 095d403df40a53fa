"""Finds the scans in a folder, in each of the layouts that data sets have on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

from absl import logging
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.io import bids, bids_dataset
from mrsr_tf.io.archives import files_at, is_zip
from mrsr_tf.io.dicom.encoding import is_dicom
from mrsr_tf.io.dicom.exam import parts_of_exams
from mrsr_tf.io.formats import format_of
from mrsr_tf.io.scan_format import Chosen, Format, Scan
from mrsr_tf.outputs import UNFINISHED

IMAGES = ("image.nii.gz", "image.nii")
REGIONS = "rois"  # the name, without its ending, of files and the folder of regions
MAPS = ("_uncertainty.nii.gz", "_t2_uncertainty_ms.nii.gz")  # beside a derived scan
SKM_TEA = ("dicoms", "image_files")  # the first of these folders that exists holds the subjects


def find_scan(path: str | Path, series: str | None = None) -> Scan:
    """Finds the scan of one subject, given the subject's folder or a file.

    A file is itself the scan. In a folder it is `dicom/`, else image.nii.gz, else the folder with
    all DICOM files below it, else the only NIfTI, zip archive or SKM-TEA file beside rois.nii.gz
    or in the anat/ of BIDS. Of the NIfTI files of a scan (see `echo_files`) it is the first. Of an
    exam it is the DESS, or in DICOM the `series` of this number or description.

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
    participants: Sequence[str] = (),
) -> dict[str, Scan]:
    """Finds the scans in a folder, by the names of their subjects.

    `path` is one subject if it is a file, if it directly contains DICOM files, `dicom/` or
    image.nii.gz, or if its folders contain the series of one exam. Otherwise each folder with a
    scan, each NIfTI file, zip archive and SKM-TEA file in it is a subject. A subject with several
    scans (such as <visit>/<release>/<patient>/<date>/<barcode> of OAI) gives one for each, named by
    the folders that distinguish them, or by the numbers of their series in one exam; see
    `dicom.exam`. The folder of the SKM-TEA data set has its subjects in dicoms/, else in
    image_files/; a BIDS dataset has one for each subject and session. Hidden and unfinished
    (`.partial`, `.replaced`) entries are ignored.

    Args:
        path: of a subject, or of the folder of all.
        series: the number or description of the DICOM series to take of each subject.
        onerror: called with the path of each of several subjects that has no usable scan, and why;
            by default the error is raised.
        participants: labels of the subjects of a BIDS dataset to find; by default all.

    Raises:
        InputError: there is no subject, two are parts of one exam while there are others, or a
            participant is not there.
    """
    scans: dict[str, Scan] = {}
    subjects = _find_subjects(Path(path), participants)
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
    chosen = _scans_in(subject) if subject.is_dir() else Chosen([subject], [])
    if not chosen.scans or not chosen.scans[0].exists():
        raise InputError(f"expected a DICOM or NIfTI scan, found none at {subject}")
    _warn_of_others(chosen, subject)
    if len(chosen.scans) > 1:
        names = _short_names([_name(path) for path in chosen.scans])
        found = [format_of(path).find(path, path, series) for path in chosen.scans]
    else:
        (path,), names = chosen.scans, [""]
        found = [format_of(path).find(subject, path, series)]
    return {
        "_".join(filter(None, (_name(subject), short, name))): scan
        for short, scans in zip(names, found, strict=True)
        for name, scan in scans.items()
    }


def _find_subjects(path: Path, participants: Sequence[str] = ()) -> list[Path]:
    if not path.exists():
        raise InputError(f"expected a scan or a folder of scans, found nothing at {path}")
    if participants or bids_dataset.is_dataset(path):
        return bids_dataset.sessions(path, participants)
    if path.is_file() or _is_subject(path):
        return [path]
    for name in SKM_TEA:
        if (path / name).is_dir():
            return _find_subjects(path / name)
    chosen = _choose(path)
    folders = [entry for entry in _entries(path) if entry.is_dir() and _may_have_scan(entry)]
    entries = sorted([*chosen.scans, *folders])
    if not entries:
        raise InputError(
            f"expected subjects (folders or files of DICOM or NIfTI), found none in {path}"
        )
    _warn_of_others(chosen, path)
    return [path] if _are_one_exam(entries) else entries


def _warn_of_others(chosen: Chosen, folder: Path) -> None:
    if chosen.left_out:
        names = ", ".join(chosen.left_out)
        logging.warning("left out in %s, as no magnitude images of a DESS: %s", folder, names)


def _short_names(names: list[str]) -> list[str]:
    """What distinguishes each of some names, whose parts are joined by "_"."""
    parts = [name.split("_") for name in names]
    common = set.intersection(*map(set, parts))
    return ["_".join(part for part in each if part not in common) for each in parts]


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
    has_folder = any((folder / name).is_dir() for name in ("dicom", bids_dataset.ANAT))
    return has_dicom or has_image or has_folder


def _may_have_scan(folder: Path) -> bool:
    """Whether it is a folder of scans, or a folder of nothing, where a scan was meant."""
    try:
        return bool(_scans_in(folder).scans) or _is_empty(folder)
    except InputError:  # it is raised again when the scan is read
        return True


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not files_at(path)


def _choose(folder: Path) -> Chosen:
    """The files that are scans by themselves: no masks, maps, or further echoes."""
    by_format: dict[Format, list[Path]] = {}
    for entry in _entries(folder):
        is_other = entry.is_dir() or _are_regions(entry) or entry.name.endswith(MAPS)
        if not is_other:  # a broken link is an error when it is read
            by_format.setdefault(format_of(entry), []).append(entry)
    chosen = [scan_format.choose(files) for scan_format, files in by_format.items()]
    scans = sorted(path for choice in chosen for path in choice.scans)
    return Chosen(scans, [name for choice in chosen for name in choice.left_out])


def _are_regions(entry: Path) -> bool:
    return entry.name.lower().split(".")[0] == REGIONS


def _scans_in(folder: Path) -> Chosen:
    """The scans of one subject; usually one."""
    usual = [folder / name for name in ("dicom", *IMAGES) if (folder / name).exists()]
    if usual:
        return Chosen(usual[:1], [])
    entries = [entry for entry in _entries(folder) if not _are_regions(entry)]
    loose = (file for entry in entries if not is_zip(entry) for file in files_at(entry))
    if any(map(is_dicom, loose)):
        return Chosen([folder], [])
    chosen = _choose(folder)
    formats = {format_of(path) for path in chosen.scans}
    if len(chosen.scans) > 1 and not all(each.are_repeats(chosen.scans) for each in formats):
        raise InputError(
            f"expected one scan in each subject's folder, got {len(chosen.scans)} files and none "
            f"named {IMAGES[0]} in {folder}"
        )
    if not chosen.scans and (folder / bids_dataset.ANAT).is_dir():
        return _scans_in(folder / bids_dataset.ANAT)
    return chosen


def _are_one_exam(entries: list[Path]) -> bool:
    """Whether the entries are series of one exam; raises if only some of them are."""
    exams = parts_of_exams([entry for entry in entries if entry.is_dir()])
    others = [entry for entry in entries if not any(entry in exam for exam in exams)]
    if exams and (len(exams) > 1 or not all(map(_is_empty, others))):
        first, second = exams[0][:2]
        raise InputError(
            f"expected each subject in one folder, got parts of one exam in {first} and {second}"
        )
    return bool(exams)


def _name(path: Path) -> str:
    return format_of(path).name(path) if path.is_file() else bids.folder_name(path.resolve())
