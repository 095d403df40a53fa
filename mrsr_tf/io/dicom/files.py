"""The MR images of a folder, found by the content of the files, never by their names."""

import math
import warnings
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataset import Dataset, FileDataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File, files_at, opened
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.dicom.enhanced import MULTI_FRAME, frame_headers

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
RESOURCE_FORK = "._"  # files that macOS adds to an archive
READERS = 2  # more threads only wait for each other in the interpreter
COSINE_TOLERANCE = 1e-3
# Elements read later by other modules. pydicom decodes an element at its first use; decoding them
# at once finds damage while the file is known.
NEEDED = """
    PatientID PatientName StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID
    SeriesNumber SeriesDescription DerivationDescription RepetitionTime FlipAngle SliceThickness
    SpacingBetweenSlices BitsAllocated BitsStored PixelRepresentation PhotometricInterpretation
""".split()


@dataclass(frozen=True, eq=False)
class Image:
    """One MR image: its header, and its place in the scan.

    Attributes:
        path: the file.
        header: everything before the pixels; that of a frame is as if it were a file of its own.
        matrix: (rows, cols).
        position: float64 (3,), patient position of the first voxel's centre in mm, LPS.
        orientation: float64 (2, 3), unit vectors along a row (columns ascending) and along a
            column (rows ascending).
        pixel_spacing_mm: between rows, between columns.
        rescale: slope and intercept from stored values to intensities.
        echo: EchoNumbers and EchoTime in ms, each None if missing.
        frame: number within a multi-frame object, from 1; None for a file of one image.
    """

    path: File
    header: Dataset
    matrix: tuple[int, int]
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    rescale: tuple[float, float]
    echo: tuple[int | None, float | None]
    frame: int | None = None

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) row direction x column direction, along which slices ascend."""
        return np.cross(*self.orientation)

    @property
    def distance_mm(self) -> float:
        """The position of the image along its normal."""
        return float(self.position @ self.normal)


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
        InputError: there is no MR image, or a DICOM file cannot be read or is cut short.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected a DICOM folder or file, found nothing at {path}")
    with ThreadPoolExecutor(READERS) as pool:
        contents = list(pool.map(_images_in, files_at(path)))
    images = [
        image
        for content in contents
        if not isinstance(content, str)
        for image in content
        if is_of(image.header, series_uids)
    ]
    others = [content for content in contents if isinstance(content, str)]
    skipped = ", ".join(f"{others.count(kind)} {kind}" for kind in sorted(set(others)))
    if not images:
        raise InputError(f"expected MR images, found {skipped or 'no file at all'} in {path}")
    return images, skipped


def positive(value: object) -> float | None:
    """A number of the header; None if it is missing, unreadable or not above 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None


def is_dicom(path: File) -> bool:
    """Whether the file is DICOM: DICM after 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@quiet()
def first_header(path: Path, series_uids: Collection[str] = ()) -> FileDataset | None:
    """The header of the first DICOM file in a folder and below, by name; None without any.

    `series_uids` is as for `find_images`.
    """
    for file in files_at(path):
        with readable(file):
            if is_dicom(file) and is_of(header := _read_header(file), series_uids):
                return header
    return None


def is_of(header: Dataset, series_uids: Collection[str]) -> bool:
    """Whether an image is of one of the series; of none given, every image is."""
    return not series_uids or str(header.get("SeriesInstanceUID", "")) in series_uids


def _images_in(path: File) -> list[Image] | str:
    """The images in a file, or in words what else it is."""
    with readable(path):
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"expected a DICOM file, got an empty one: {path}")
        if is_dicom(path):
            return _parse_file(path)
        if path.name.lower().endswith(".dcm") and not path.name.startswith(RESOURCE_FORK):
            raise InputError(f"expected DICM at byte 128 of a DICOM file, got none: {path}")
        return "not DICOM"


def readable(path: File) -> AbstractContextManager[None]:
    """Turns errors of pydicom in the block into an `InputError` that names the file."""
    return refuse_damaged(path, "a readable DICOM image")


def _read_header(path: File) -> FileDataset:
    with opened(path) as stream:
        header = pydicom.dcmread(stream, stop_before_pixels=True)
    _decode_needed(header)
    return header


def _decode_needed(header: Dataset) -> None:
    for keyword in NEEDED:
        header.get(keyword)


def _parse_file(path: File) -> list[Image] | str:
    header = _read_header(path)
    # The class comes first in the file: a file whose rest is cut short is refused, not skipped.
    kind = header.file_meta.MediaStorageSOPClassUID
    if kind == MR_IMAGE:
        return [_parse(header, path, None)]
    if kind not in MULTI_FRAME:
        return f"DICOM of class {kind.name}"
    frames = frame_headers(header)
    for frame in frames:
        _decode_needed(frame)
    return [_parse(frame, path, number) for number, frame in enumerate(frames, 1)]


def _parse(header: Dataset, path: File, frame: int | None) -> Image:
    orientation = np.reshape(_numbers(header, path, "ImageOrientationPatient", 6), (2, 3))
    if np.abs(orientation @ orientation.T - np.eye(2)).max() > COSINE_TOLERANCE:
        raise InputError(f"expected ImageOrientationPatient of two perpendicular axes: {path}")
    rows, cols = _numbers(header, path, "PixelSpacing", 2)
    slope = float(header.get("RescaleSlope", 1))
    intercept = float(header.get("RescaleIntercept", 0))
    if not (rows > 0 and cols > 0 and slope and math.isfinite(slope + intercept)):
        raise InputError(f"expected PixelSpacing above 0 and a finite RescaleSlope: {path}")
    return Image(
        path=path,
        header=header,
        matrix=(int(header.Rows), int(header.Columns)),
        position=_numbers(header, path, "ImagePositionPatient", 3),
        orientation=orientation / np.linalg.norm(orientation, axis=1, keepdims=True),
        pixel_spacing_mm=(rows, cols),
        rescale=(slope, intercept),
        echo=_echo(header),
        frame=frame,
    )


def _numbers(header: Dataset, path: File, keyword: str, count: int) -> NDArray[np.float64]:
    value = header.get(keyword)
    if value is None or np.size(value) != count or not np.isfinite(np.array(value, float)).all():
        raise InputError(f"expected {count} numbers as {keyword}, found none such in {path}")
    return np.array(value, float)


def _echo(header: Dataset) -> tuple[int | None, float | None]:
    number, time = header.get("EchoNumbers"), header.get("EchoTime")
    return (
        int(number) if number not in (None, "") else None,
        # Rounded, since headers of one echo may print its time with differing digits.
        round(float(time), 2) if time not in (None, "") else None,
    )
