"""Where each of several scans of DICOM lies below a path, and a name for it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, permutations, takewhile
from pathlib import Path

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.exam_series import ExamSeries, Folder, split_exams

ScanSeries = list[ExamSeries]  # the one or two series of a scan


def place(scan: ScanSeries, series: Iterable[ExamSeries]) -> tuple[Path, tuple[str, ...]]:
    """The innermost folder that holds a scan, and the scan's UIDs if that holds other series, too.

    `series` are all series below the path that was searched.
    """
    path = scan[0].path
    folder = _folder(scan) if path.is_dir() else ()
    others = chain.from_iterable(item.folders for item in series if item not in scan)
    is_alone = all(other[: len(folder)] != folder for other in others)
    return path.joinpath(*folder), () if is_alone else tuple(item.uid for item in scan)


def named(scans: Sequence[ScanSeries]) -> Iterator[tuple[str, ScanSeries]]:
    """Names each scan by the folders that distinguish its exam, and by its number in the exam.

    Raises:
        InputError: neither of them distinguishes two scans.
    """
    if len(scans) == 1:
        yield "", scans[0]
        return
    exams = split_exams(chain.from_iterable(scans))
    for exam, exam_name in zip(exams, _distinguishing_folders(exams), strict=True):
        repeats = [scan for scan in scans if scan[0] in exam]
        for name, scan in zip(_names_in_exam(repeats), repeats, strict=True):
            yield "_".join(filter(None, (exam_name, name))), scan


def _names_in_exam(repeats: Sequence[ScanSeries]) -> list[str]:
    if len(repeats) == 1:
        return [""]
    numbers = [str(scan[0].number) for scan in repeats]
    return numbers if len(set(numbers)) == len(repeats) else _distinguishing_folders(repeats)


def _distinguishing_folders(groups: Sequence[ScanSeries]) -> list[str]:
    folders = [_folder(group) for group in groups]
    for folder, other in permutations(folders, 2):
        if other[: len(folder)] == folder:
            mixed = groups[0][0].path.joinpath(*folder)
            raise InputError(f"expected each scan in a folder of its own, got two mixed in {mixed}")
    return _short_names(folders)


def _folder(series: Iterable[ExamSeries]) -> Folder:
    """The innermost folder that holds all the images."""
    folders = set().union(*(item.folders for item in series))
    in_both = zip(min(folders), max(folders), strict=False)
    return tuple(name for name, _ in takewhile(lambda names: names[0] == names[1], in_both))


def _short_names(folders: list[Folder]) -> list[str]:
    """For each of some folders, the names that distinguish it from the others, joined by "_"."""
    inner = {folder[: depth + 1] for folder in folders for depth in range(len(folder))}
    siblings = Counter(folder[:-1] for folder in inner)
    return [
        "_".join(name for depth, name in enumerate(folder) if siblings[folder[:depth]] > 1)
        for folder in folders
    ]
