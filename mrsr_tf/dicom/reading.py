"""A folder of DICOM files to a `Volume`."""

from pathlib import Path

import numpy as np
from absl import logging
from pydicom.dataset import Dataset

from mrsr_tf.dicom.derivation import is_derived
from mrsr_tf.dicom.files import guarded, in_threads, positive, quiet, read_pixels
from mrsr_tf.dicom.series import Series, find_series
from mrsr_tf.volume import Volume

SPOILER_GROUP, SPOILER_CREATOR = 0x0019, "GEMS_ACQU_01"
SPOILER_AREA, SPOILER_DURATION = 0xB6, 0xB7
DESS_TOLERANCE = 0.02


@quiet()
def read_series(path: str | Path) -> Volume:
    """Reads the one scan in a folder and below (or in one file).

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
    for target, stored in zip(images, in_threads(read_pixels, series.images), strict=True):
        target[:] = stored * slope + intercept
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
    area, duration = (
        positive(guarded(first.path, _private, first.header, offset))
        for offset in (SPOILER_AREA, SPOILER_DURATION)
    )
    return (None, None) if area is None or duration is None else (area, duration)


def _private(header: Dataset, offset: int) -> object:
    try:
        return header.private_block(SPOILER_GROUP, SPOILER_CREATOR)[offset].value
    except KeyError:
        return None
