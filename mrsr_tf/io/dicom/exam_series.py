"""The series of the exams at a path of DICOM files."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.dess_series import OF_IMAGE, OF_SERIES, Header
from mrsr_tf.io.dicom.files import ImageHeader, image_headers, quiet, readable
from mrsr_tf.io.header_numbers import positive

UID = ("SeriesInstanceUID",)
MORE_OF_SERIES = ("PatientID",)
MOST_LISTED = 12  # series in a message
Folder = tuple[str, ...]  # its names below the path that is searched
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class ExamSeries:
    """The images of one SeriesInstanceUID below a path.

    Attributes:
        path: the path.
        uid: that UID; "" if the images have none.
        headers: of each image what `dess_series` needs, and of the first `MORE_OF_SERIES`.
        folders: where the images are.
    """

    path: Path
    uid: str
    headers: list[Header]
    folders: set[Folder]

    def __str__(self) -> str:
        return f"{'?' if self.number is None else self.number} ({self.description})"

    @property
    def number(self) -> int | None:
        """SeriesNumber; None if it is missing."""
        number = positive(self.headers[0].get("SeriesNumber"))
        return None if number is None else int(number)

    @property
    def description(self) -> str:
        """SeriesDescription in one line."""
        text = str(self.headers[0].get("SeriesDescription") or "no description")
        return " ".join("".join(filter(str.isprintable, text)).split())

    def matches(self, choice: str) -> bool:
        """Whether it has this number or description, in which "*" stands for any text."""
        description, choice = self.description.lower(), choice.strip().lower()
        is_described = description == choice or fnmatchcase(description, choice)
        return choice == str(self.number) or is_described


@quiet()
def find_series_at(path: Path) -> list[ExamSeries]:
    """The series of MR images in a folder and below, in a zip archive or in one file.

    Raises:
        InputError: a file cannot be read, or only some images say their series.
    """
    by_uid: dict[str, list[ImageHeader]] = {}
    for image in image_headers(path):
        uid = str(_values(image, UID)[UID[0]] or "")
        by_uid.setdefault(uid, []).append(image)
    if "" in by_uid and len(by_uid) > 1:
        raise InputError(
            f"expected {UID[0]} in all images or in none, found none in {by_uid[''][0].path}"
        )
    return [_series(path, uid, images) for uid, images in by_uid.items()]


def _series(path: Path, uid: str, images: list[ImageHeader]) -> ExamSeries:
    first = {**_values(images[0], (*OF_SERIES, *MORE_OF_SERIES)), "Modality": "MR"}
    headers = [_values(image, OF_IMAGE) for image in images]
    folders = {_folder(image, path) for image in images}
    return ExamSeries(path, uid, [{**first, **headers[0]}, *headers[1:]], folders)


def _values(image: ImageHeader, keywords: Iterable[str]) -> Header:
    """Some attributes of an image, which are decoded while the file is known."""
    with readable(image.path):
        return {keyword: image.header.get(keyword) for keyword in keywords}


def split_exams(series: Iterable[ExamSeries]) -> list[list[ExamSeries]]:
    """The series of each exam."""
    return connected((item, exam_uids(item.headers[0])) for item in series)


def exam_uids(header: Header | Dataset) -> set[tuple[str, str]]:
    """What no two exams share: the study, and the frame of reference, of a patient."""
    patient = str(header.get("PatientID"))
    uids = (header.get("StudyInstanceUID"), header.get("FrameOfReferenceUID"))
    return {(patient, str(uid)) for uid in uids if uid}


def connected(items: Iterable[tuple[Item, set[tuple[str, str]]]]) -> list[list[Item]]:
    """Groups of those items that share an element, directly or by way of others."""
    groups: list[tuple[list[Item], set[tuple[str, str]]]] = []
    for item, elements in items:
        same = [group for group in groups if group[1] & elements]
        groups = [group for group in groups if group not in same]
        members = [*chain.from_iterable(members for members, _ in same), item]
        groups.append((members, elements.union(*(others for _, others in same))))
    return [members for members, _ in groups]


def list_series(series: Iterable[ExamSeries]) -> str:
    """The series by number and description, each once, for a message."""
    names = [str(item) for item in sorted(series, key=lambda item: item.number or 0)]
    names = [*dict.fromkeys(names)]
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def _folder(image: ImageHeader, path: Path) -> Folder:
    if isinstance(image.path, Path):
        return image.path.parent.relative_to(path).parts if path.is_dir() else ()
    return PurePosixPath(image.path.at).parent.parts
