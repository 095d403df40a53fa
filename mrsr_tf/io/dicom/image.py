"""One MR image: a slice of one echo, by its header."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File
from mrsr_tf.io.dicom.stored_values import padding_range, rescale

COSINE_TOLERANCE = 1e-3
# Elements read later by other modules. pydicom decodes an element at its first use; decoding them
# at once finds damage while the file is known.
TEXTS = """
    PatientID PatientName SeriesDescription DerivationDescription PhotometricInterpretation
""".split()
UIDS = "SOPInstanceUID SeriesInstanceUID StudyInstanceUID FrameOfReferenceUID".split()
NUMBERS = """
    SeriesNumber RepetitionTime EchoTime FlipAngle SliceThickness SpacingBetweenSlices Rows Columns
    BitsAllocated BitsStored PixelRepresentation RescaleSlope RescaleIntercept
    PixelPaddingValue PixelPaddingRangeLimit
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
        padding: the lowest and the highest stored value that mean "no image here"; None without.
        echo: EchoNumbers and EchoTime in ms, each None if missing. A combined image of several
            echoes has no number.
        frame: number within a multi-frame object, from 1; None for a file of one image.
    """

    path: File
    header: Dataset
    matrix: tuple[int, int]
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    rescale: tuple[float, float]
    padding: tuple[int, int] | None
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


def parse_image(header: Dataset, path: File, frame: int | None = None) -> Image:
    """The image of a header.

    Raises:
        InputError: an attribute that places or scales the image is missing or cannot be meant.
    """
    check_values(header, path)
    orientation = np.reshape(_numbers(header, path, "ImageOrientationPatient", 6), (2, 3))
    if np.abs(orientation @ orientation.T - np.eye(2)).max() > COSINE_TOLERANCE:
        raise InputError(f"expected ImageOrientationPatient of two perpendicular axes: {path}")
    rows, cols = _numbers(header, path, "PixelSpacing", 2)
    slope, intercept = rescale(header, path)
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
        padding=padding_range(header),
        echo=_echo(header),
        frame=frame,
    )


def check_values(header: Dataset, path: File) -> None:
    """Decodes the attributes that are used later; raises if one has several values.

    The message does not repeat the values, which may name the patient.
    """
    for keyword in TEXTS:
        header.get(keyword)
    for keyword in UIDS + NUMBERS:
        value = header.get(keyword)
        if isinstance(value, MultiValue | Sequence | bytes):
            raise InputError(f"expected a single value as {keyword}, got something else in {path}")
        if keyword in UIDS and not isinstance(value, str | None):
            raise InputError(f"expected a UID as {keyword}, got a {type(value).__name__} in {path}")


def _numbers(header: Dataset, path: File, keyword: str, count: int) -> NDArray[np.float64]:
    value = header.get(keyword)
    if value is None or np.size(value) != count or not np.isfinite(np.array(value, float)).all():
        raise InputError(f"expected {count} numbers as {keyword}, found none such in {path}")
    return np.array(value, float)


def _echo(header: Dataset) -> tuple[int | None, float | None]:
    number, time = header.get("EchoNumbers"), header.get("EchoTime")
    is_combined = isinstance(number, MultiValue)
    return (
        None if is_combined or number in (None, "") else int(number),
        None if time in (None, "") else float(time),
    )
