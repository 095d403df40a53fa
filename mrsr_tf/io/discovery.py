"""Finds the scans in a folder, in each of the layouts that data sets have on disk."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

from absl import logging
from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.bids import without_echo
from mrsr_tf.io.dicom.files import first_header, is_dicom
from mrsr_tf.io.dicom.series import frame_of_reference
from mrsr_tf.io.formats import FORMATS, format_of
from mrsr_tf.io.scan_format import Scan
from mrsr_tf.outputs import UNFINISHED

IMAGES = ("image.nii.gz", "image.nii")
REGIONS = ("rois.nii.gz", "rois.nii")
MAPS = ("_uncertainty.nii.gz", "_t2_uncertainty_ms.nii.gz")  # beside a derived scan
SKM_TEA = ("dicoms", "image_files")  # the first of these folders that exists holds the subjects
BIDS = "anat"  # the folder of a BIDS subject that holds such scans


def find_scan(path: str | Path) -> Scan:
    """Finds the scan of one subject, given the subject's folder or a file.

    A file is itself the scan. In a folder it is `dicom/`, else image.nii.gz, else the folder with
    all DICOM files below it, else the only NIfTI, zip archive or SKM-TEA file beside rois.nii.gz
    or in the anat/ of BIDS. Of NIfTI files named _echo-1 and _echo-2 it is the first.

    Raises:
        InputError: there is none, or several files of which none is named image.nii.gz.
    """
    path = Path(path)
    scan = path if path.is_file() else _scan_in(path)
    if scan is None:
        raise InputError(f"expected a DICOM or NIfTI scan, found none at {path}")
    return Scan(path, scan, format_of(scan))


def find_scans(path: str | Path) -> dict[str, Scan]:
    """Finds the scans in a folder, by the names of their subjects.

    `path` is one subject if it is a file, if it directly contains DICOM files, `dicom/` or
    image.nii.gz, or if its folders contain parts of one scan (one echo each). Otherwise each
    folder with a scan, each NIfTI file, zip archive and SKM-TEA file in it is a subject. A folder
    with several scans below it (such as <visit>/<release>/<patient>/<date>/<barcode> of OAI) gives
    a subject for each, named by the folders that distinguish them; if some of them are a DESS,
    only those count. The folder of the SKM-TEA data set has its subjects in dicoms/, else in
    image_files/. Hidden and unfinished (`.partial`, `.replaced`) entries are ignored.

    Raises:
        InputError: there is no subject, two have one name, or two are parts of one scan while
            there are others.
    """
    return {name: find_scan(subject) for name, subject in _find_subjects(Path(path)).items()}


def is_dess(header: Dataset | Mapping[str, Any]) -> bool:
    """Whether a header names a DESS."""
    names = (header.get(key) for key in ("SeriesDescription", "ProtocolName", "SequenceName"))
    return any("DESS" in str(name).upper() for name in names)


def _find_subjects(path: Path) -> dict[str, Path]:
    if path.is_file() or _is_subject(path):
        return {_name(path): path}
    for name in SKM_TEA:
        if (path / name).is_dir():
            return _find_subjects(path / name)
    entries = [entry for entry in _entries(path) if _has_scan(entry)]
    if not entries:
        raise InputError(
            f"expected subjects (folders or files of DICOM or NIfTI), found none in {path}"
        )
    if _are_parts_of_one_scan(entries):
        return {_name(path): path}
    subjects: dict[str, Path] = {}
    for entry in entries:
        for name, subject in _subjects_in(entry).items():
            if subjects.setdefault(name, subject) is not subject:
                raise InputError(
                    f"expected one scan for each subject, got two named {name} in {path}"
                )
    return subjects


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


def _has_scan(entry: Path) -> bool:
    return _is_scan_file(entry) if entry.is_file() else _scan_in(entry) is not None


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
    if next(_series_folders(folder), None) is not None:
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


def _series_folders(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    """The folders from here down that contain DICOM, in order, each with one of its headers."""
    for place, inner, files in os.walk(folder):
        inner.sort()
        paths = (Path(place) / name for name in sorted(files))
        first = next((path for path in paths if path.is_file() and is_dicom(path)), None)
        header = None if first is None else first_header(first)
        if header is not None:
            yield Path(place), header


def _subjects_in(entry: Path) -> dict[str, Path]:
    """The subjects in one entry of the folder, by name."""
    if not entry.is_dir() or _is_subject(entry):
        return {_name(entry): entry}
    by_frame: dict[str, list[tuple[Path, Dataset]]] = {}
    for place, header in _series_folders(entry):
        by_frame.setdefault(frame_of_reference(header), []).append((place, header))
    if len(by_frame) < 2:
        return {_name(entry): entry}
    series = _prefer_dess(list(by_frame.values()), entry)
    folders = [Path(os.path.commonpath([place for place, _ in group])) for group in series]
    _check_apart(folders)
    names = _short_names([folder.relative_to(entry).parts for folder in folders])
    return {
        f"{_name(entry)}_{name}".rstrip("_"): folder
        for name, folder in zip(names, folders, strict=True)
    }


def _prefer_dess(
    scans: list[list[tuple[Path, Dataset]]], folder: Path
) -> list[list[tuple[Path, Dataset]]]:
    """Those of the scans, each a list of series, that are a DESS; all of them if none is."""
    dess = [series for series in scans if any(is_dess(header) for _, header in series)]
    if dess and len(dess) < len(scans):
        logging.warning(
            "%d scans in %s are left out: only %d name a DESS in their header",
            len(scans) - len(dess), folder, len(dess),
        )  # fmt: skip
    return dess or scans


def _check_apart(folders: list[Path]) -> None:
    for folder, other in permutations(folders, 2):
        if folder == other or folder in other.parents:
            raise InputError(
                f"expected each scan in a folder of its own, got two mixed in {folder}"
            )


def _short_names(parts: list[tuple[str, ...]]) -> list[str]:
    """For each of some paths, the parts that distinguish it from the others, joined by "_"."""
    folders = {path[: depth + 1] for path in parts for depth in range(len(path))}
    siblings = Counter(folder[:-1] for folder in folders)
    return [
        "_".join(part for depth, part in enumerate(path) if siblings[path[:depth]] > 1)
        for path in parts
    ]


def _are_parts_of_one_scan(entries: list[Path]) -> bool:
    """Whether the entries are the two echoes of one scan; raises if only some of them are."""
    echoes: dict[str, dict[tuple[str, str], Path]] = {}
    for entry in entries:
        header = next(_series_folders(entry), (entry, None))[1] if entry.is_dir() else None
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
    name = without_echo(path.resolve().name)
    endings = [ending for scan_format in FORMATS for ending in scan_format.endings]
    matching = (ending for ending in endings if name.lower().endswith(ending))
    return next((name[: -len(ending)] for ending in matching), name)
