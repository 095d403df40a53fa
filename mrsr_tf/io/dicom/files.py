"""The MR images of a folder, found by the content of the files, never by their names."""

import math
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from pydicom import config
from pydicom.dataset import Dataset, FileDataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File, files_at
from mrsr_tf.io.damage import is_pointer, listed, refuse_damaged
from mrsr_tf.io.dicom.complex_part import complex_part, image_type
from mrsr_tf.io.dicom.encoding import (
    PREFIX,
    START,
    is_dicom,
    read_header,
    sop_class,
    starts_dicom,
)
from mrsr_tf.io.dicom.enhanced import MULTI_FRAME, frame_headers
from mrsr_tf.io.dicom.image import Image, check_values, parse_image

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
RESOURCE_FORK = "._"  # files that macOS adds to an archive
NOT_FETCHED = "pointer of git-annex or Git LFS"
READERS = 2  # more threads only wait for each other in the interpreter


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
    if not path.exists():
        raise InputError(f"expected a DICOM folder or file, found nothing at {path}")
    files = files_at(path)
    with ThreadPoolExecutor(READERS) as pool:
        contents = list(pool.map(partial(_contents, series_uids=series_uids), files))
    _check_fetched(files, contents)
    images = [item for content in contents for item in content if isinstance(item, Image)]
    others = Counter(item for content in contents for item in content if isinstance(item, str))
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    if not images:
        raise InputError(f"expected MR images, found {skipped or 'no file at all'} in {path}")
    return images, skipped


def _check_fetched(files: list[File], contents: list[list[Image | str]]) -> None:
    pairs = zip(files, contents, strict=True)
    pointers = [file for file, content in pairs if NOT_FETCHED in content]
    if pointers:
        raise InputError(
            f"expected the content of {len(files)} files, got {len(pointers)} that git-annex or "
            f"Git LFS has not fetched: {listed(pointers)}"
        )


def positive(value: object) -> float | None:
    """A number of the header; None if it is missing, unreadable or not above 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None


@quiet()
def first_header(path: Path, series_uids: Collection[str] = ()) -> FileDataset | None:
    """The header of the first DICOM file in a folder and below, by name; None without any.

    `series_uids` is as for `find_images`.
    """
    for file in files_at(path):
        with readable(file):
            if is_dicom(file) and is_of(header := read_header(file), series_uids):
                check_values(header, file)
                return header
    return None


def is_of(header: Dataset, series_uids: Collection[str]) -> bool:
    """Whether an image is of one of the series; of none given, every image is.

    An image that does not say its series counts: its file may be cut short.
    """
    uid = header.get("SeriesInstanceUID")
    return not (series_uids and uid) or str(uid) in series_uids


def _contents(path: File, series_uids: Collection[str]) -> list[Image | str]:
    """The images in a file that are of one of the series, and in words what else it is."""
    with readable(path):
        with path.open("rb") as file:
            start = file.read(START)
        if not start:
            raise InputError(f"expected a DICOM file, got an empty one: {path}")
        if is_pointer(start):
            return [NOT_FETCHED]
        if starts_dicom(start):
            return _parse_file(path, series_uids, has_prefix=start.endswith(PREFIX))
        if path.name.lower().endswith(".dcm") and not path.name.startswith(RESOURCE_FORK):
            raise InputError(f"expected DICM at byte 128 of a DICOM file, got none: {path}")
        return ["not DICOM"]


def readable(path: File) -> AbstractContextManager[None]:
    """Turns errors of pydicom in the block into an `InputError` that names the file."""
    return refuse_damaged(path, "a readable DICOM image")


def _parse_file(path: File, series_uids: Collection[str], *, has_prefix: bool) -> list[Image | str]:
    header = read_header(path)
    if not is_of(header, series_uids):
        return []
    kind = sop_class(header)
    if kind is None and has_prefix:
        raise InputError(f"expected a SOPClassUID, found none in {path}")
    if kind == MR_IMAGE:
        return [_image_or_kind(header, path, None)]
    if kind in MULTI_FRAME:
        frames = enumerate(frame_headers(header), 1)
        return [_image_or_kind(frame, path, number) for number, frame in frames]
    if kind is None:
        return ["not DICOM"]
    # An unknown class has its UID as name, which may be any text of a damaged file.
    return [f"DICOM of {'an unknown class' if kind.name == kind else f'class {kind.name}'}"]


def _image_or_kind(header: Dataset, path: File, frame: int | None) -> Image | str:
    """The image of a header if it is a slice of magnitudes, else in words what it is."""
    if "MOSAIC" in image_type(header):
        return "DICOM mosaic of many slices"
    part = complex_part(header)
    return parse_image(header, path, frame) if part == "magnitude" else f"DICOM image of {part}"
