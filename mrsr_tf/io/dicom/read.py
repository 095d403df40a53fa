"""Reads a folder of DICOM files as a `Volume`."""

from pathlib import Path

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File
from mrsr_tf.io.dicom.files import Image, in_threads, positive, quiet, readable
from mrsr_tf.io.dicom.ge_private import SPOILER_AREA, SPOILER_DURATION, acquisition_block
from mrsr_tf.io.dicom.pixels import read_pixels
from mrsr_tf.io.dicom.provenance import is_derived
from mrsr_tf.io.dicom.series import Series, find_series
from mrsr_tf.mri.dess import is_dess_timing
from mrsr_tf.volume import Volume


@quiet()
def read_series(path: str | Path) -> Volume:
    """Reads the one scan in a folder and below, in a zip archive or in one file.

    Echoes are distinguished by EchoNumbers and EchoTime, in one series or in two of one study.
    Slices are sorted and spaced by their positions; only a scan of one slice has its spacing from
    the header (SpacingBetweenSlices, else SliceThickness). RescaleSlope is applied.

    Raises:
        InputError: the folder does not hold exactly one whole scan, or a file cannot be read; the
            message names the file or the position.
    """
    series = find_series(path)
    if series.skipped:
        logging.warning("skipped in %s: %s", path, series.skipped)
    first = series.images[0]
    area, duration = _spoiler(series)
    return Volume(
        array=_read_array(series),
        affine=series.affine,
        echo_times_ms=_echo_times_ms(series),
        repetition_time_ms=positive(first.header.get("RepetitionTime")),
        flip_angle_deg=positive(first.header.get("FlipAngle")),
        spoiler_area=area,
        spoiler_duration_us=duration,
        slice_thickness_mm=positive(first.header.get("SliceThickness")),
        derived=is_derived(first.header),
    )


def _read_array(series: Series) -> NDArray[np.float32]:
    """The intensities, (rows, cols, slices, echoes)."""
    slices, (rows, cols) = len(series.echoes[0]), series.images[0].matrix
    images = np.empty((len(series.images), rows, cols), np.float32)
    slope, intercept = series.images[0].rescale
    places = _places_by_file(series)
    files = [[series.images[place] for place in places[path]] for path in places]
    for targets, stored in zip(places.values(), in_threads(read_pixels, files), strict=True):
        for target, image in zip(targets, stored, strict=True):
            images[target] = image * slope + intercept
    return images.reshape(len(series.echoes), slices, rows, cols).transpose(2, 3, 1, 0)


def _places_by_file(series: Series) -> dict[File, list[int]]:
    places: dict[File, list[int]] = {}
    for place, image in enumerate(series.images):
        places.setdefault(image.path, []).append(place)
    return places


def _echo_times_ms(series: Series) -> tuple[float, ...] | None:
    times = [positive(echo[0].header.get("EchoTime")) for echo in series.echoes]
    known = tuple(time for time in times if time is not None)
    return known if len(known) == len(times) else None


def _spoiler(series: Series) -> tuple[float | None, float | None]:
    """Area (as GE stores it) and duration in us of the gradient between the echoes; else Nones.

    GE stores them in elements that any sequence may use, so they are only read from a DESS.
    """
    first = series.images[0]
    tr_ms = positive(first.header.get("RepetitionTime"))
    if not is_dess_timing(_echo_times_ms(series), tr_ms):
        return None, None
    spoilers = [_private_spoiler(image) for image in series.images]
    for image, spoiler in zip(series.images, spoilers, strict=True):
        if spoiler != spoilers[0]:
            raise InputError(
                f"expected one spoiler area and duration, got {spoilers[0]} and {spoiler}: in "
                f"{first.path} and {image.path}"
            )
    return spoilers[0] if None not in spoilers[0] else (None, None)


def _private_spoiler(image: Image) -> tuple[float | None, float | None]:
    with readable(image.path):
        try:
            block = acquisition_block(image.header)
            return positive(block[SPOILER_AREA].value), positive(block[SPOILER_DURATION].value)
        except KeyError:
            return None, None
