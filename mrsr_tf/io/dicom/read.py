"""A folder of DICOM files to a `Volume`."""

from pathlib import Path

import numpy as np
from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File
from mrsr_tf.io.dicom.files import Image, guarded, in_threads, positive, quiet
from mrsr_tf.io.dicom.pixels import read_pixels
from mrsr_tf.io.dicom.provenance import is_derived
from mrsr_tf.io.dicom.series import Series, find_series
from mrsr_tf.volume import Volume

SPOILER_GROUP, SPOILER_CREATOR = 0x0019, "GEMS_ACQU_01"
SPOILER_AREA, SPOILER_DURATION = 0xB6, 0xB7
DESS_TOLERANCE = 0.02


@quiet()
def read_series(path: str | Path) -> Volume:
    """Reads the one scan in a folder and below, in a zip archive or in one file.

    Echoes are told apart by EchoNumbers and EchoTime, in one series or in two of one study.
    Slices are sorted and spaced by their positions; only a scan of one slice has its spacing from
    the header (SpacingBetweenSlices, else SliceThickness). RescaleSlope is applied.

    Raises:
        InputError: the folder does not hold exactly one whole scan, or a file cannot be read; the
            message names the file or the position.
    """
    series = find_series(path)
    if series.skipped:
        logging.warning("skipped in %s: %s", path, series.skipped)
    slices, (rows, cols) = len(series.echoes[0]), series.echoes[0][0].matrix
    images = np.empty((len(series.images), rows, cols), np.float32)
    slope, intercept = series.images[0].rescale
    places = _places_by_file(series)
    files = [[series.images[place] for place in places[path]] for path in places]
    for targets, stored in zip(places.values(), in_threads(read_pixels, files), strict=True):
        for target, image in zip(targets, stored, strict=True):
            images[target] = image * slope + intercept
    array = images.reshape(len(series.echoes), slices, rows, cols).transpose(2, 3, 1, 0)
    first = series.images[0]
    area, duration = spoiler(series)
    return Volume(
        array=array,
        affine=series.affine,
        echo_times_ms=_echo_times_ms(series),
        repetition_time_ms=positive(first.header.get("RepetitionTime")),
        flip_angle_deg=positive(first.header.get("FlipAngle")),
        spoiler_area=area,
        spoiler_duration_us=duration,
        slice_thickness_mm=positive(first.header.get("SliceThickness")),
        derived=is_derived(first.header),
    )


def _places_by_file(series: Series) -> dict[File, list[int]]:
    places: dict[File, list[int]] = {}
    for place, image in enumerate(series.images):
        places.setdefault(image.path, []).append(place)
    return places


def _echo_times_ms(series: Series) -> tuple[float, ...] | None:
    times = [positive(echo[0].header.get("EchoTime")) for echo in series.echoes]
    known = tuple(time for time in times if time is not None)
    return known if len(known) == len(times) else None


def spoiler(series: Series) -> tuple[float | None, float | None]:
    """Area (as GE stores it) and duration in us of the gradient between the echoes, else Nones.

    GE keeps them as "user data 15" and "16" of whatever sequence ran, so they are believed only
    of a DESS: its second echo forms before the next pulse, so TE1 + TE2 = 2 TR, which no other
    two-echo sequence has (its second echo would come after the next pulse).
    """
    first, times = series.images[0], _echo_times_ms(series)
    repetition_time = positive(first.header.get("RepetitionTime"))
    if times is None or repetition_time is None or len(times) != 2:
        return None, None
    if abs(sum(times) - 2 * repetition_time) > DESS_TOLERANCE * repetition_time:
        return None, None
    found = [guarded(image.path, _private_spoiler, image) for image in series.images]
    for image, told in zip(series.images, found, strict=True):
        if told != found[0]:
            raise InputError(
                f"expected one spoiler area and duration, got {found[0]} and {told}: in "
                f"{first.path} and {image.path}"
            )
    area, duration = found[0]
    return (None, None) if area is None or duration is None else (area, duration)


def _private_spoiler(image: Image) -> tuple[float | None, float | None]:
    try:
        block = image.header.private_block(SPOILER_GROUP, SPOILER_CREATOR)
        return positive(block[SPOILER_AREA].value), positive(block[SPOILER_DURATION].value)
    except KeyError:
        return None, None
