"""Sorts images into the echoes and slices of one scan, and checks that the scan is complete."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, pairwise
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.files import find_images, quiet
from mrsr_tf.io.dicom.image import COSINE_TOLERANCE, Image
from mrsr_tf.io.dicom.philips_private import scale_slope
from mrsr_tf.io.header_numbers import positive

# Headers of one scan print times (ms) and angles (degrees) that differ in their last digits. Two
# echoes of one number that are closer than this would lie at the same positions and be refused.
PRINTED_TOLERANCE = 0.1 + 1e-9
# The precision of positions in headers is between 0.0001 and 0.01 mm, in some 0.1 mm.
POSITION_TOLERANCE_MM = 0.02
# Slices may be off by the last digit of their positions, but never by so much of their spacing
# that a missing one (at least 1/3 off from the best even spacing) is overlooked.
MOST_UNEVEN = 0.2


@dataclass(frozen=True, eq=False)
class Series:
    """The images of one scan, sorted.

    Attributes:
        echoes: one list of images per echo, with ascending echo times; the slices in each list
            ascend along row direction x column direction.
        affine: float64 (4, 4), (row, col, slice, 1) -> patient position in mm, LPS.
        skipped: in words, how many other files of which kind there were; "" if none.
    """

    echoes: list[list[Image]]
    affine: NDArray[np.float64]
    skipped: str

    @property
    def images(self) -> list[Image]:
        """All images, echo by echo."""
        return [image for echo in self.echoes for image in echo]


@quiet()
def find_series(path: str | Path, series_uids: Collection[str] = ()) -> Series:
    """Finds the one scan in a folder and below, and checks that it is complete; reads no pixels.

    `series_uids` is as for `find_images`.

    Raises:
        InputError: there are no images, or they are not exactly one scan of one or two echoes with
            each slice once, evenly spaced along the normal.
    """
    images, skipped = find_images(path, series_uids)
    _check_one_scan(images)
    echoes = [_ordered(echo) for echo in _split_echoes(images)]
    if len(echoes) == 2:
        _check_same_positions(*echoes)
        _check_same_positions(*echoes[::-1])
    return Series(echoes, _affine(echoes[0]), skipped)


def _check_one_scan(images: list[Image]) -> None:
    _check_equal(images, "subject", _subject, quote=False)
    frame = "frame of reference (one subject lying still)"
    _check_equal(images, frame, lambda image: frame_of_reference(image.header), quote=False)
    _check_equal(images, "matrix (rows, columns)", lambda image: image.matrix)
    _check_close(images, "orientation", lambda image: image.orientation, COSINE_TOLERANCE)
    _check_close(images, "pixel spacing in mm", lambda image: image.pixel_spacing_mm, 1e-4)
    _check_equal(images, "kind of scale (Philips' or RescaleSlope)", _has_scale_slope)
    _check_equal(images, "form of stored values", _stored_form)
    for what, keyword in (("repetition time", "RepetitionTime"), ("flip angle", "FlipAngle")):
        _check_close(images, what, _positive_value(keyword), PRINTED_TOLERANCE)


def frame_of_reference(header: Dataset) -> str:
    """An identifier that scans of different subjects never share; "" if the header has none.

    The frame of reference comes before the study: anonymisers give the two echoes of one scan
    different studies, while positions are only comparable within one frame.
    """
    return str(header.get("FrameOfReferenceUID") or header.get("StudyInstanceUID") or "")


def typical_value(images: Sequence[Image], keyword: str) -> float | None:
    """The median of an attribute that the images may print with differing digits; or None."""
    values = [positive(image.header.get(keyword)) for image in images]
    numbers = [value for value in values if value is not None]
    return median_low(numbers) if numbers else None


def _subject(image: Image) -> tuple[str, ...]:
    return tuple(str(image.header.get(key, "")) for key in ("PatientID", "PatientName"))


def _stored_form(image: Image) -> tuple[Any, ...]:
    keywords = ("BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
    return tuple(image.header.get(keyword) for keyword in keywords)


def _has_scale_slope(image: Image) -> bool:
    return scale_slope(image.header) is not None


def _header_value(keyword: str) -> Callable[[Image], Any]:
    return lambda image: image.header.get(keyword)


def _positive_value(keyword: str) -> Callable[[Image], float]:
    """A number of the header, 0 if it is missing."""
    return lambda image: positive(image.header.get(keyword)) or 0.0


def _check_equal(
    images: list[Image], what: str, value: Callable[[Image], Any], *, quote: bool = True
) -> None:
    """Raises unless all images have the same `value`; the message quotes it only if allowed."""
    first = images[0]
    for image in images:
        if value(image) != value(first):
            values = f" ({value(first)} and {value(image)})" if quote else ""
            raise _mixed(what, values, first, image)


def _check_close(
    images: list[Image], what: str, value: Callable[[Image], Any], tolerance: float
) -> None:
    first = images[0]
    for image in images:
        if np.abs(np.subtract(value(image), value(first))).max() > tolerance:
            values = f" ({np.ravel(value(first))} and {np.ravel(value(image))})"
            raise _mixed(what, values, first, image)


def _mixed(what: str, values: str, first: Image, image: Image) -> InputError:
    return InputError(f"expected one {what}, got two{values}: in {first.path} and {image.path}")


def _split_echoes(images: list[Image]) -> list[list[Image]]:
    """One list per echo, by number and time together, since one of them may be missing or equal."""
    ordered = sorted(images, key=lambda image: _echo_order(image)[::-1])
    echoes = [[ordered[0]]]
    for previous, image in pairwise(ordered):
        if _is_same_echo(previous, image):
            echoes[-1].append(image)
        else:
            echoes.append([image])
    echoes.sort(key=lambda echo: _echo_order(echo[0]))
    if len(echoes) > 2:
        names = ", ".join(_echo_name(echo[0]) for echo in echoes)
        raise InputError(f"expected one or two echoes, got {names} in {images[0].path.parent}")
    for echo in echoes:
        series_uid = _header_value("SeriesInstanceUID")
        _check_equal(echo, f"series for {_echo_name(echo[0])}", series_uid, quote=False)
    return echoes


def _echo_order(image: Image) -> tuple[float, float]:
    """Time and number, infinite where they are missing."""
    number, time = image.echo
    return (np.inf if time is None else time, np.inf if number is None else number)


def _is_same_echo(image: Image, other: Image) -> bool:
    (number, time), (other_number, other_time) = image.echo, other.echo
    if time is None or other_time is None:
        return image.echo == other.echo
    return number == other_number and abs(time - other_time) <= PRINTED_TOLERANCE


def _echo_name(image: Image) -> str:
    number, time = image.echo
    name = "images without EchoNumbers" if number is None else f"echo {number}"
    return f"{name} {'without EchoTime' if time is None else f'at {time:g} ms'}"


def _ordered(echo: list[Image]) -> list[Image]:
    """The images of one echo sorted along the normal; raises if two have one position."""
    echo = sorted(echo, key=lambda image: image.distance_mm)
    for image, following in pairwise(echo):
        if following.distance_mm - image.distance_mm < POSITION_TOLERANCE_MM:
            _check_echoes_differ(echo)
            raise InputError(
                f"expected one slice of {_echo_name(image)} at each position, got two at "
                f"{image.distance_mm:.2f} mm along the normal: {image.path} and {following.path}"
            )
    return echo


def _check_echoes_differ(echo: list[Image]) -> None:
    """Raises if every slice is there equally often, and none as a copy: these are echoes."""
    gaps = np.diff([image.distance_mm for image in echo])
    ends = np.flatnonzero(gaps >= POSITION_TOLERANCE_MM)
    counts = set(np.diff([-1, *ends, len(gaps)]))
    uids = {image.header.get("SOPInstanceUID") for image in echo}
    if len(counts) == 1 and (len(uids) == len(echo) or echo[0].frame):
        raise InputError(
            f"expected EchoTime or EchoNumbers to distinguish the {counts.pop()} images of each "
            f"slice, got {_echo_name(echo[0])} in all: write the true EchoTime of each echo into "
            f"its files, with a DICOM editor such as dcmodify, in {echo[0].path.parent}"
        )


def _check_same_positions(echo: list[Image], other: list[Image]) -> None:
    """Raises if a slice of `echo` has no counterpart in `other`."""
    positions, tolerance = _positions(other), _tolerance_mm(other)
    for image in echo:
        if np.linalg.norm(positions - image.position, axis=1).min() > tolerance:
            raise InputError(
                f"expected both echoes of every slice, {_echo_name(other[0])} is missing at "
                f"{image.distance_mm:.2f} mm along the normal, where {image.path} lies"
            )


def _positions(echo: list[Image]) -> NDArray[np.float64]:
    return np.array([image.position for image in echo])


def _tolerance_mm(echo: list[Image]) -> float:
    """How far a slice may be from its place: one unit of the last digit that is printed."""
    spacing = (echo[-1].distance_mm - echo[0].distance_mm) / max(len(echo) - 1, 1)
    coordinates = chain.from_iterable(image.header.ImagePositionPatient for image in echo)
    exponents = (Decimal(str(coordinate)).as_tuple().exponent for coordinate in coordinates)
    last_digit = 10.0 ** min(int(exponent) for exponent in exponents)
    return max(POSITION_TOLERANCE_MM, min(last_digit, MOST_UNEVEN * spacing))


def _affine(echo: list[Image]) -> NDArray[np.float64]:
    """The affine to mm, of the even spacing that fits all positions best.

    Raises:
        InputError: the positions are not evenly spaced along the normal.
    """
    image, positions = echo[0], _positions(echo)
    along_row, along_column = image.orientation
    between_rows, between_columns = image.pixel_spacing_mm
    if len(echo) == 1:
        first, step = image.position, image.normal * _header_spacing(image)
    else:
        places = np.arange(len(echo)) - (len(echo) - 1) / 2
        step = places @ positions / (places @ places)
        first = positions.mean(axis=0) + places[0] * step
        _check_even(echo, first, step)
    affine = np.eye(4)
    columns = along_column * between_rows, along_row * between_columns, step, first
    affine[:3] = np.column_stack(columns)
    return affine


def _check_even(echo: list[Image], first: NDArray[np.float64], step: NDArray[np.float64]) -> None:
    positions, tolerance = _positions(echo), _tolerance_mm(echo)
    even = first + np.arange(len(echo))[:, None] * step
    if np.linalg.norm(positions - even, axis=1).max() > tolerance:
        gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        usual = np.percentile(gaps, 50, method="lower")
        worst = int(np.argmax(np.abs(gaps - usual)))
        missing = " (a slice is missing)" if round(gaps[worst] / usual) > 1 else ""
        raise InputError(
            f"expected a slice every {usual:.4g} mm, got {gaps[worst]:.4g} mm{missing} between "
            f"{echo[worst].path} and {echo[worst + 1].path}"
        )
    shear = float(np.linalg.norm(np.cross(step, echo[0].normal)))
    if shear > max(0.01 * float(np.linalg.norm(step)), tolerance / len(echo)):
        raise InputError(
            f"expected slices stacked along their normal, got a sheared stack in "
            f"{echo[0].path.parent}"
        )


def _header_spacing(image: Image) -> float:
    """The slice spacing in the header of a single slice, whose position cannot give it."""
    header = image.header
    spacing = positive(header.get("SpacingBetweenSlices")) or positive(header.get("SliceThickness"))
    if spacing:
        return spacing
    raise InputError(
        f"expected SpacingBetweenSlices or SliceThickness in a scan of one slice, found neither "
        f"in {image.path}"
    )
