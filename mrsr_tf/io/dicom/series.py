"""Sorts images into the echoes and slices of one scan, and checks that the scan is complete."""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.files import COSINE_TOLERANCE, Image, find_images, positive, quiet

# The precision of positions in headers is between 0.0001 and 0.01 mm.
POSITION_TOLERANCE_MM = 0.02


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
    _check_equal(images, "rescale slope and intercept", lambda image: image.rescale)
    _check_equal(images, "form of stored values", _stored_form)
    _check_equal(images, "repetition time", _header_value("RepetitionTime"))
    _check_equal(images, "flip angle", _header_value("FlipAngle"))


def frame_of_reference(header: Dataset) -> str:
    """An identifier that scans of different subjects never share; "" if the header has none.

    The frame of reference comes before the study: anonymisers give the two echoes of one scan
    different studies, while positions are only comparable within one frame.
    """
    return str(header.get("FrameOfReferenceUID") or header.get("StudyInstanceUID") or "")


def _subject(image: Image) -> tuple[str, ...]:
    return tuple(str(image.header.get(key, "")) for key in ("PatientID", "PatientName"))


def _stored_form(image: Image) -> tuple[Any, ...]:
    keywords = ("BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
    return tuple(image.header.get(keyword) for keyword in keywords)


def _header_value(keyword: str) -> Callable[[Image], Any]:
    return lambda image: image.header.get(keyword)


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
    by_echo: dict[Hashable, list[Image]] = {}
    for image in images:
        by_echo.setdefault(image.echo, []).append(image)
    echoes = [by_echo[echo] for echo in sorted(by_echo, key=_echo_order)]
    if len(echoes) > 2:
        names = ", ".join(_echo_name(echo[0]) for echo in echoes)
        raise InputError(f"expected one or two echoes, got {names} in {images[0].path.parent}")
    for echo in echoes:
        series_uid = _header_value("SeriesInstanceUID")
        _check_equal(echo, f"series for {_echo_name(echo[0])}", series_uid, quote=False)
    return echoes


def _echo_order(echo: Any) -> tuple[float, float]:
    number, time = echo
    return (np.inf if time is None else time, np.inf if number is None else number)


def _echo_name(image: Image) -> str:
    number, time = image.echo
    name = "images without EchoNumbers" if number is None else f"echo {number}"
    return f"{name} {'without EchoTime' if time is None else f'at {time:g} ms'}"


def _ordered(echo: list[Image]) -> list[Image]:
    """The images of one echo sorted along the normal; raises if two have one position."""
    echo = sorted(echo, key=lambda image: image.distance_mm)
    for image, following in pairwise(echo):
        if following.distance_mm - image.distance_mm < POSITION_TOLERANCE_MM:
            raise InputError(
                f"expected one slice of {_echo_name(image)} at each position, got two at "
                f"{image.distance_mm:.2f} mm along the normal: {image.path} and {following.path}"
            )
    return echo


def _check_same_positions(echo: list[Image], other: list[Image]) -> None:
    """Raises if a slice of `echo` has no counterpart in `other`."""
    positions = np.array([image.position for image in other])
    for image in echo:
        if np.linalg.norm(positions - image.position, axis=1).min() > POSITION_TOLERANCE_MM:
            raise InputError(
                f"expected both echoes of every slice, {_echo_name(other[0])} is missing at "
                f"{image.distance_mm:.2f} mm along the normal, where {image.path} lies"
            )


def _affine(echo: list[Image]) -> NDArray[np.float64]:
    """The affine to mm from the positions; raises unless they are evenly spaced."""
    first, count = echo[0], len(echo)
    along_row, along_column = first.orientation
    between_rows, between_columns = first.pixel_spacing_mm
    if count == 1:
        step = first.normal * _header_spacing(first)
    else:
        step = (echo[-1].position - first.position) / (count - 1)
        _check_even(echo, step)
    affine = np.eye(4)
    columns = along_column * between_rows, along_row * between_columns, step, first.position
    affine[:3] = np.column_stack(columns)
    return affine


def _check_even(echo: list[Image], step: NDArray[np.float64]) -> None:
    positions = np.array([image.position for image in echo])
    even = positions[0] + np.arange(len(echo))[:, None] * step
    if np.linalg.norm(positions - even, axis=1).max() > POSITION_TOLERANCE_MM:
        gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        usual = np.percentile(gaps, 50, method="lower")
        worst = int(np.argmax(np.abs(gaps - usual)))
        missing = " (a slice is missing)" if round(gaps[worst] / usual) > 1 else ""
        raise InputError(
            f"expected a slice every {usual:.4g} mm, got {gaps[worst]:.4g} mm{missing} between "
            f"{echo[worst].path} and {echo[worst + 1].path}"
        )
    if np.linalg.norm(np.cross(step, echo[0].normal)) > 0.01 * np.linalg.norm(step):
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
