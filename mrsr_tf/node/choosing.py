"""Which of a study's series are a DESS: one series with both echoes, two of one each, or one echo.

A DESS is known by its echo times, TE1 + TE2 = 2 TR, which no other sequence has, or by its name in
the header. Series that say they are derived, as those made here, are no scan.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.files import Image, find_images, first_header, positive
from mrsr_tf.io.dicom.series import frame_of_reference
from mrsr_tf.io.discovery import is_dess
from mrsr_tf.mri.dess import is_dess_timing


@dataclass(frozen=True, eq=False)
class _Candidate:
    """One series that may be a DESS or half of one."""

    folder: Path
    images: list[Image]
    named: bool

    @property
    def echoes(self) -> set[tuple[int | None, float | None]]:
        return {image.echo for image in self.images}

    @property
    def number(self) -> float:
        return positive(self.images[0].header.get("SeriesNumber")) or 0.0


def dess_scans(folders: Iterable[Path], *, largest_bytes: int) -> list[list[Path]]:
    """The scans among series, in the order of their numbers: for each, the folders of its series.

    Args:
        folders: one for each series.
        largest_bytes: a scan of more, unpacked to 16 bits, is refused.

    Raises:
        InputError: a series that is called a DESS cannot be read, or a scan is too large.
    """
    found = [candidate for folder in folders if (candidate := _candidate(folder))]
    found.sort(key=lambda candidate: candidate.number)
    scans = [[one] for one in found if len(one.echoes) > 1 and (one.named or _steady([one]))]
    single = [one for one in found if len(one.echoes) == 1]
    for pair in combinations(single, 2):
        if all(one in single for one in pair) and _is_pair(*pair):
            scans.append(list(pair))
            single = [one for one in single if one not in pair]
    scans += [[one] for one in single if one.named]
    for scan in scans:
        _check_size(scan, largest_bytes)
    return [[one.folder for one in scan] for scan in scans]


def _candidate(folder: Path) -> _Candidate | None:
    try:
        images = find_images(folder)[0]
    except InputError:
        if any(_called_dess(file) for file in folder.iterdir()):
            raise
        return None
    header = images[0].header
    return None if _says_derived(header) else _Candidate(folder, images, is_dess(header))


def _called_dess(file: Path) -> bool:
    """Whether what can be read of one file calls it a scanned DESS."""
    with suppress(InputError):
        header = first_header(file)
        return header is not None and is_dess(header) and not _says_derived(header)
    return False


def _says_derived(header: Dataset) -> bool:
    return "DERIVED" in str(header.get("ImageType"))


def _is_pair(one: _Candidate, other: _Candidate) -> bool:
    """Whether two series are the two echoes of one scan."""
    first, second = one.images[0], other.images[0]
    frames = {frame_of_reference(image.header) for image in (first, second)}
    if len(frames) > 1 or first.matrix != second.matrix or len(one.images) != len(other.images):
        return False
    return _steady([one, other]) or (one.named and other.named and one.echoes != other.echoes)


def _steady(scan: list[_Candidate]) -> bool:
    """Whether the echo times are those of a DESS."""
    repetition = positive(scan[0].images[0].header.get("RepetitionTime"))
    times = sorted(time for one in scan for _, time in one.echoes if time is not None)
    return is_dess_timing(times, repetition)


def _check_size(scan: list[_Candidate], largest_bytes: int) -> None:
    size = sum(2 * image.matrix[0] * image.matrix[1] for one in scan for image in one.images)
    if size > largest_bytes:
        raise InputError(
            f"expected a scan of up to {largest_bytes:,} bytes, got one of {size:,} when unpacked"
        )
