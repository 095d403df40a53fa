"""The MR images of a folder, found by the content of the files, never by their names."""

import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from pydicom import config
from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File, files_at
from mrsr_tf.io.damage import is_pointer, listed, refuse_damaged
from mrsr_tf.io.dicom.complex_part import complex_part, image_type
from mrsr_tf.io.dicom.encoding import (
    PREFIX,
    START,
    read_header,
    sop_class,
    starts_dicom,
)
from mrsr_tf.io.dicom.enhanced import MULTI_FRAME, frame_headers
from mrsr_tf.io.dicom.header_cache import HeaderCache
from mrsr_tf.io.dicom.image import Image, check_values, parse_image

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
RESOURCE_FORK = "._"  # files that macOS adds to an archive
NOT_FETCHED = "pointer of git-annex or Git LFS"
READERS = 2  # more threads only wait for each other in the interpreter


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """The header of an MR image, whose place is only read when it is needed.

    Attributes:
        path, header, frame: as those of `Image`.
        kind: in words what it is if not a slice of magnitudes; else "".
    """

    path: File
    header: Dataset
    frame: int | None
    kind: str

    @cached_property
    def image(self) -> Image:
        """The image; raises `InputError` if an attribute that places or scales it is missing."""
        with readable(self.path):
            return parse_image(self.header, self.path, self.frame)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences pydicom, whose warnings quote the header and thereby name the patient."""
    before, config.logger.disabled = config.logger.disabled, True
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        config.logger.disabled = before


@quiet()
def find_images(path: str | Path, series_uids: Collection[str] = ()) -> tuple[list[Image], str]:
    """Reads the MR images in a folder and below, a zip archive or one file, without their pixels.

    Also returns in words how many other files of which kind there are ("2 not DICOM"); "" if none.
    `series_uids` holds the SeriesInstanceUIDs of the images that are meant; by default all are.

    Raises:
        InputError: there is no MR image, or a file cannot be read, is cut short or was not fetched.
    """
    path = Path(path)
    headers, others = _contents_of(path)
    headers = [header for header in headers if is_of(header.header, series_uids)]
    others += Counter(header.kind for header in headers if header.kind)
    images = [header.image for header in headers if not header.kind]
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    if not images:
        raise InputError(f"expected MR images, found {skipped or 'no file at all'} in {path}")
    return images, skipped


@quiet()
def image_headers(path: Path) -> list[ImageHeader]:
    """The headers of the MR images at a path; there may be none.

    Raises:
        InputError: a DICOM file cannot be read or is cut short.
    """
    return [header for header in _contents_of(path)[0] if not header.kind]


def _contents_of(path: Path) -> tuple[list[ImageHeader], Counter[str]]:
    """The headers at a path, and how many other files there are of which kind."""
    if not path.exists():
        raise InputError(f"expected a DICOM folder or file, found nothing at {path}")
    files = files_at(path)
    with ThreadPoolExecutor(READERS) as pool:
        contents = list(pool.map(_contents, files))
    _check_fetched(files, contents)
    items = [*chain.from_iterable(contents)]
    headers = [item for item in items if isinstance(item, ImageHeader)]
    return headers, Counter(item for item in items if isinstance(item, str))


def _check_fetched(files: list[File], contents: list[list[ImageHeader | str]]) -> None:
    pairs = zip(files, contents, strict=True)
    pointers = [file for file, content in pairs if NOT_FETCHED in content]
    if pointers:
        raise InputError(
            f"expected the content of {len(files)} files, got {len(pointers)} that git-annex or "
            f"Git LFS has not fetched: {listed(pointers)}"
        )


@quiet()
def first_header(path: Path, series_uids: Collection[str] = ()) -> Dataset | None:
    """The header of the first MR image in a folder and below, by name; None without any.

    `series_uids` is as for `find_images`.
    """
    for file in files_at(path):
        for content in _contents(file):
            if isinstance(content, ImageHeader) and is_of(content.header, series_uids):
                with readable(file):
                    check_values(content.header, file)
                return content.header
    return None


def is_of(header: Dataset, series_uids: Collection[str]) -> bool:
    """Whether an image is of one of the series; of none given, every image is.

    An image that does not say its series counts: its file may be cut short.
    """
    uid = header.get("SeriesInstanceUID")
    return not (series_uids and uid) or str(uid) in series_uids


@HeaderCache
def _contents(path: File) -> list[ImageHeader | str]:
    """The headers of the images in a file, or in words what else it is."""
    with readable(path):
        with path.open("rb") as file:
            start = file.read(START)
        if not start:
            raise InputError(f"expected a DICOM file, got an empty one: {path}")
        if is_pointer(start):
            return [NOT_FETCHED]
        if starts_dicom(start):
            return _parse_file(path, has_prefix=start.endswith(PREFIX))
        if path.name.lower().endswith(".dcm") and not path.name.startswith(RESOURCE_FORK):
            raise InputError(f"expected DICM at byte 128 of a DICOM file, got none: {path}")
        return ["not DICOM"]


def readable(path: File) -> AbstractContextManager[None]:
    """Turns errors of pydicom in the block into an `InputError` that names the file."""
    return refuse_damaged(path, "a readable DICOM image")


def _parse_file(path: File, *, has_prefix: bool) -> list[ImageHeader | str]:
    header = read_header(path)
    kind = sop_class(header)
    header.get("SeriesInstanceUID")  # where it is damaged, pydicom raises here and not in `is_of`
    if kind is None and has_prefix:
        raise InputError(f"expected a SOPClassUID, found none in {path}")
    if kind == MR_IMAGE:
        return [ImageHeader(path, header, None, _kind(header))]
    if kind in MULTI_FRAME:
        frames = enumerate(frame_headers(header), 1)
        return [ImageHeader(path, frame, number, _kind(frame)) for number, frame in frames]
    if kind is None:
        return ["not DICOM"]
    # An unknown class has its UID as name, which may be any text of a damaged file.
    return [f"DICOM of {'an unknown class' if kind.name == kind else f'class {kind.name}'}"]


def _kind(header: Dataset) -> str:
    """In words what an image is if it is not a slice of magnitudes; else ""."""
    if "MOSAIC" in image_type(header):
        return "DICOM mosaic of many slices"
    part = complex_part(header)
    return "" if part == "magnitude" else f"DICOM image of {part}"
