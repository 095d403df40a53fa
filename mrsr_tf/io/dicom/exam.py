"""The scans of an exam in DICOM, which has a localizer and other contrasts beside the DESS.

Archives export an exam as a folder for each series, or as one folder of all files. Its scans are
the DESS among the series, as `dess_series` decides. Without any, a single series may still be the
scan; of several, the user has to name one.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from absl import logging
from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.dess_series import Header, could_be_dess, dess_scans, is_derived
from mrsr_tf.io.dicom.exam_series import (
    ExamSeries,
    connected,
    exam_uids,
    find_series_at,
    list_series,
    split_exams,
)
from mrsr_tf.io.dicom.files import first_header
from mrsr_tf.io.dicom.scan_names import ScanSeries, named, place

DESS = 'a DESS (two echoes with TE1 + TE2 = 2 TR, or "DESS" in the description)'


def find_dicom_scans(
    path: Path, choice: str | None = None
) -> dict[str, tuple[Path, tuple[str, ...]]]:
    """Finds the scans in a folder and below, in a zip archive or in one file.

    They are the DESS among the acquired series; a warning lists what is left out. If there is no
    DESS, each exam that may be one scan is one. If all series are derived, the same holds for them.

    Args:
        path: of the files.
        choice: the number or the description of a series, with "*" for any text. It chooses among
            the DESS, else among all series.

    Returns:
        What distinguishes a scan from the others ("" for the only one) -> the innermost folder that
        holds it, or the file; and the SeriesInstanceUIDs that it consists of if there are others.

    Raises:
        InputError: no series is a DESS, nor is it the only one; or nothing distinguishes two scans.
    """
    series = find_series_at(path)
    if not series:
        raise InputError(f"expected MR images, found none in {path}")
    scans = _chosen(series, choice, path) if choice is not None else _unasked(series, path)
    if scans == [series]:
        return {"": (path, ())}
    return {name: place(scan, series) for name, scan in named(scans)}


def parts_of_exams(folders: Sequence[Path]) -> list[list[Path]]:
    """The groups of folders that hold the series of one exam, and not a DESS each."""
    headers = [(folder, _first_header(folder)) for folder in folders]
    exams = connected((folder, exam_uids(header)) for folder, header in headers if header)
    return [exam for exam in exams if len(exam) > 1 and not _are_scans(exam)]


def _first_header(folder: Path) -> Dataset | None:
    try:
        return first_header(folder)
    except InputError:  # it is raised again when the scan is read
        return None


def _are_scans(folders: Iterable[Path]) -> bool:
    """Whether each of the folders holds a DESS of its own."""
    series = [find_series_at(folder) for folder in folders]
    own_uids = [{item.uid for item in own} for own in series]
    scans = [
        {item.uid for item in scan} for scan in _dess(_acquired([*chain.from_iterable(series)]))
    ]
    return (
        len(set().union(*own_uids)) == sum(map(len, own_uids))
        and all(any(scan <= own for scan in scans) for own in own_uids)
        and all(any(scan <= own for own in own_uids) for scan in scans)
    )


def _unasked(series: list[ExamSeries], path: Path) -> list[ScanSeries]:
    """The scans if the user names no series."""
    acquired = _acquired(series)
    scans = _dess(acquired) or _exams_without_choice(acquired, path)
    left_out = [item for item in series if not any(item in scan for scan in scans)]
    if left_out:
        logging.warning("%s: left out, as no acquired DESS: series %s", path, list_series(left_out))
    return scans


def _exams_without_choice(series: list[ExamSeries], path: Path) -> list[ScanSeries]:
    """The series of each exam, which may be a scan."""
    exams = split_exams(series)
    for exam in exams:
        if not could_be_dess(_headers(exam)):
            raise InputError(
                f"expected {DESS}, got series {list_series(exam)} in {path}: --series=NUMBER names "
                "one that is meant nevertheless"
            )
    return exams


def _chosen(series: list[ExamSeries], choice: str, path: Path) -> list[ScanSeries]:
    matching = [item for item in series if item.matches(choice)]
    if not matching:
        raise InputError(f"expected a series {choice!r}, got {list_series(series)} in {path}")
    derived = [item for item in series if is_derived(item.headers[0])]
    acquired = [item for item in series if item not in derived]
    scans = [
        scan for scan in _dess(acquired) + _dess(derived) if any(item in matching for item in scan)
    ]
    if not scans and could_be_dess(_headers(matching)):
        return [matching]
    return scans or [[item] for item in matching]


def _acquired(series: list[ExamSeries]) -> list[ExamSeries]:
    """Those that are not derived from others; all of them if all are."""
    return [item for item in series if not is_derived(item.headers[0])] or series


def _dess(series: list[ExamSeries]) -> list[ScanSeries]:
    by_uid = {item.uid: item for item in series}
    return [[by_uid[uid] for uid in scan] for scan in dess_scans(_headers(series), derived=True)]


def _headers(series: Iterable[ExamSeries]) -> dict[str, list[Header]]:
    return {item.uid: item.headers for item in series}
