"""Where the scans lie under a folder, in each of the layouts that people have on disk."""

import os
from collections.abc import Iterator
from pathlib import Path

from absl import logging
from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io import echo_files, nifti, skm_tea
from mrsr_tf.io.archives import is_zip
from mrsr_tf.io.dicom.files import first_header, is_dicom
from mrsr_tf.io.dicom.series import frame_of_reference

IMAGES = ("image.nii.gz", "image.nii")
REGIONS = ("rois.nii.gz", "rois.nii")
MAPS = ("_uncertainty.nii.gz", "_t2_uncertainty_ms.nii.gz")  # beside a scan that we derived
SKM_TEA = ("dicoms", "image_files")  # a folder each: whichever is there first holds the subjects
ENDINGS = (".gz", ".nii", ".zip", ".h5")
BIDS = "anat"  # where in a subject's folder BIDS keeps such scans
SEQUENCE = "DESS"


def scan_path(path: str | Path) -> Path:
    """Where in a subject's folder the scan is; a file is itself the scan.

    It is `dicom/`, else image.nii.gz, else the folder with all DICOM below it, else the one NIfTI,
    zip archive or SKM-TEA file beside rois.nii.gz or in BIDS's anat/. Of NIfTI named _echo-1 and
    _echo-2 it is the first.

    Raises:
        InputError: there is none, or several files and none named image.nii.gz.
    """
    path = Path(path)
    scan = path if path.is_file() else _scan_in(path)
    if scan is None:
        raise InputError(f"expected a DICOM or NIfTI scan, found none at {path}")
    return scan


def find_subjects(path: str | Path) -> dict[str, Path]:
    """The subjects under `path`, by name: one folder or file each, all readable by `read_scan`.

    `path` is one subject when it is a file, holds DICOM files, `dicom/` or image.nii.gz itself, or
    when the folders in it hold parts of one scan (an echo each). Else each folder with a scan, each
    NIfTI file, zip archive and SKM-TEA file in it is a subject. A folder with several scans below
    (as OAI's <visit>/<release>/<patient>/<date>/<barcode>) is a subject for each, named by the
    folders that tell them apart; if some of them are a DESS, only those. SKM-TEA's own folder has
    its subjects in dicoms/, else in image_files/. Hidden and unfinished (`.partial`) entries do not
    count.

    Raises:
        InputError: no subject, two of one name, or two that are parts of one scan beside others.
    """
    path = Path(path)
    if path.is_file() or _is_subject(path):
        return {_name(path): path}
    for name in SKM_TEA:
        if (path / name).is_dir():
            return find_subjects(path / name)
    entries = [entry for entry in _entries(path) if _is_scan(entry)]
    if not entries:
        raise InputError(
            f"expected subjects (folders or files of DICOM or NIfTI), found none in {path}"
        )
    if _parts_of_one_scan(entries):
        return {_name(path): path}
    subjects: dict[str, Path] = {}
    for entry in entries:
        for name, scan in _scans_of(entry).items():
            if subjects.setdefault(name, scan) is not scan:
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
        if not entry.name.startswith((".", "partial.")) and entry.suffix != ".partial"
    )


def _is_subject(folder: Path) -> bool:
    """Whether the folder itself is a scan or has one under its known names."""
    own = any(entry.is_file() and is_dicom(entry) for entry in _entries(folder))
    return own or (folder / "dicom").is_dir() or any((folder / name).exists() for name in IMAGES)


def _is_scan(entry: Path) -> bool:
    return _is_image(entry) if entry.is_file() else _scan_in(entry) is not None


def _is_image(entry: Path) -> bool:
    """Whether a file is a scan by itself: not a mask or map, nor the second of two echoes."""
    if not nifti.is_nifti(entry):
        return (entry.suffix == ".zip" and is_zip(entry)) or skm_tea.is_scan(entry)
    beside_a_scan = entry.name in REGIONS or entry.name.endswith(MAPS)
    return entry.is_file() and not beside_a_scan and echo_files.first_echo(entry) is None


def _scan_in(folder: Path) -> Path | None:
    if (folder / "dicom").is_dir():
        return folder / "dicom"
    named = [folder / name for name in IMAGES if (folder / name).exists()]
    if named:
        return named[0]
    if next(_series_folders(folder), None) is not None:
        return folder
    images = [entry for entry in _entries(folder) if _is_image(entry)]
    if len(images) > 1:
        raise InputError(
            f"expected one scan in each subject's folder, got {len(images)} files and none "
            f"named {IMAGES[0]} in {folder}"
        )
    if not images and (folder / BIDS).is_dir():
        return _scan_in(folder / BIDS)
    return images[0] if images else None


def _series_folders(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    """The folders from here down that hold DICOM, each with a header out of it, in order."""
    for place, inner, files in os.walk(folder):
        inner.sort()
        paths = (Path(place) / name for name in sorted(files))
        first = next((path for path in paths if path.is_file() and is_dicom(path)), None)
        header = None if first is None else first_header(first)
        if header is not None:
            yield Path(place), header


def _scans_of(entry: Path) -> dict[str, Path]:
    """The scans in one entry of the folder of subjects, by name."""
    if not entry.is_dir() or _is_subject(entry):
        return {_name(entry): entry}
    by_frame: dict[str, list[tuple[Path, Dataset]]] = {}
    for place, header in _series_folders(entry):
        by_frame.setdefault(frame_of_reference(header), []).append((place, header))
    if len(by_frame) < 2:
        return {_name(entry): entry}
    wanted = [series for series in by_frame.values() if any(is_dess(h) for _, h in series)]
    if wanted and len(wanted) < len(by_frame):
        logging.warning(
            "%d scans in %s are left out: only %d name a %s in their header",
            len(by_frame) - len(wanted), entry, len(wanted), SEQUENCE,
        )  # fmt: skip
    groups = wanted or list(by_frame.values())
    scans = [Path(os.path.commonpath([place for place, _ in group])) for group in groups]
    for scan, other in ((a, b) for a in scans for b in scans if a is not b):
        if scan == other or scan in other.parents:
            raise InputError(f"expected each scan in a folder of its own, got two mixed in {scan}")
    names = _short_names([scan.relative_to(entry).parts for scan in scans])
    return {
        f"{_name(entry)}_{name}".rstrip("_"): scan for name, scan in zip(names, scans, strict=True)
    }


def is_dess(header: Dataset) -> bool:
    """Whether a header names a DESS."""
    told = (header.get(key) for key in ("SeriesDescription", "ProtocolName", "SequenceName"))
    return any(SEQUENCE in str(value).upper() for value in told)


def _short_names(parts: list[tuple[str, ...]]) -> list[str]:
    """For each of some paths, only those of its parts that tell it apart, joined by "_"."""
    if len(parts) < 2:
        return [""] * len(parts)
    groups: dict[str, list[int]] = {}
    for place, path in enumerate(parts):
        groups.setdefault(path[0], []).append(place)
    names = [""] * len(parts)
    for first, places in groups.items():
        rest = _short_names([parts[place][1:] for place in places])
        for place, name in zip(places, rest, strict=True):
            told = (first if len(groups) > 1 else "", name)
            names[place] = "_".join(part for part in told if part)
    return names


def _parts_of_one_scan(entries: list[Path]) -> bool:
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
    name = echo_files.without_echo(path.resolve().name)
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name
