"""Reads a folder of DICOM files as a `Volume`."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from absl import logging
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File, opened
from mrsr_tf.io.dicom.encoding import transfer_syntax
from mrsr_tf.io.dicom.files import READERS, quiet, readable
from mrsr_tf.io.dicom.ge_private import SPOILER_AREA, SPOILER_DURATION, acquisition_block
from mrsr_tf.io.dicom.image import Image
from mrsr_tf.io.dicom.provenance import is_derived
from mrsr_tf.io.dicom.series import Series, find_series, typical_value
from mrsr_tf.io.header_numbers import positive
from mrsr_tf.mri.dess import is_dess_timing
from mrsr_tf.volume import Volume

DECODERS = "python-gdcm pylibjpeg pylibjpeg-openjpeg"


@quiet()
def read_series(path: str | Path, series_uids: Collection[str] = ()) -> Volume:
    """Reads the one scan in a folder and below, in a zip archive or in one file.

    Echoes are distinguished by EchoNumbers and EchoTime, in one series or in two of one study.
    Slices are sorted and spaced by their positions; only a scan of one slice has its spacing from
    the header (SpacingBetweenSlices, else SliceThickness). Each image has its own RescaleSlope or
    Philips' scale slope applied; padding is 0. Phase, real and imaginary images are skipped.
    `series_uids` is as for `find_images`.

    Raises:
        InputError: the folder does not hold exactly one whole scan, or a file cannot be read; the
            message names the file or the position.
    """
    series = find_series(path, series_uids)
    if series.skipped:
        logging.warning("skipped in %s: %s", path, series.skipped)
    header, images = series.images[0].header, series.images
    area, duration = _spoiler(series)
    return Volume(
        array=_read_array(series, path),
        affine=series.affine,
        echo_times_ms=_echo_times_ms(series),
        repetition_time_ms=typical_value(images, "RepetitionTime"),
        flip_angle_deg=typical_value(images, "FlipAngle"),
        spoiler_area=area,
        spoiler_duration_us=duration,
        slice_thickness_mm=positive(header.get("SliceThickness")),
        derived=is_derived(header),
    )


def _read_array(series: Series, path: str | Path) -> NDArray[np.float32]:
    """The intensities, (rows, cols, slices, echoes); warns of padding in the scan at `path`."""
    places = _places_by_file(series)
    files = [[series.images[place] for place in places[file]] for file in places]
    padded = 0
    with ThreadPoolExecutor(READERS) as pool:
        contents = pool.map(_read_pixels, files)
        # A damaged header may ask for more memory than there is, so one file is read before.
        contents = chain([next(contents)], contents)
        array = np.empty((len(series.images), *series.images[0].matrix), np.float32)
        for targets, stored in zip(places.values(), contents, strict=True):
            for target, values in zip(targets, stored, strict=True):
                array[target], count = _intensities(values, series.images[target])
                padded += count
    if padded:
        logging.warning("%d padded voxels are set to 0 in %s", padded, path)
    return np.moveaxis(array.reshape(len(series.echoes), -1, *array.shape[1:]), (0, 1), (3, 2))


def _intensities(stored: NDArray[Any], image: Image) -> tuple[NDArray[Any], int]:
    """The intensities of an image, 0 where it is padded; and how many pixels that changed.

    `stored` is (rows, cols), the stored values.
    """
    slope, intercept = image.rescale
    values = stored if image.rescale == (1, 0) else stored * slope + intercept
    if image.padding is None:
        return values, 0
    low, high = image.padding
    changed = (stored >= low) & (stored <= high) & (values != 0)
    return np.where(changed, 0, values), int(np.count_nonzero(changed))


def _places_by_file(series: Series) -> dict[File, list[int]]:
    places: dict[File, list[int]] = {}
    for place, image in enumerate(series.images):
        places.setdefault(image.path, []).append(place)
    return places


def _echo_times_ms(series: Series) -> tuple[float, ...] | None:
    times = [typical_value(echo, "EchoTime") for echo in series.echoes]
    positive_times = tuple(time for time in times if time is not None)
    return positive_times if len(positive_times) == len(times) else None


def _spoiler(series: Series) -> tuple[float | None, float | None]:
    """Area (as GE stores it) and duration in us of the gradient between the echoes; else Nones.

    GE stores them in elements that any sequence may use, so they are only read from a DESS.
    """
    first = series.images[0]
    tr_ms = typical_value(series.images, "RepetitionTime")
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


def _read_pixels(images: Sequence[Image]) -> NDArray[np.number]:
    with readable(images[0].path):
        return _stored_values(images)


def _stored_values(images: Sequence[Image]) -> NDArray[np.number]:
    """The stored values of images of one file: (images, rows, cols)."""
    path, (rows, cols) = images[0].path, images[0].matrix
    with opened(path) as stream:
        dataset = pydicom.dcmread(stream, force=True)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if dataset.get("SamplesPerPixel", 1) != 1 or (images[0].frame is None and frames != 1):
        raise InputError(f"expected one grey image in each file, got more in {path}")
    dataset.file_meta.TransferSyntaxUID = transfer_syntax(dataset, path)
    _check_decodable(dataset, path)
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        _check_length(dataset, frames * rows, cols, path)
    stored = dataset.pixel_array.reshape(frames, rows, cols)
    return stored[[(image.frame or 1) - 1 for image in images]]


def _check_length(dataset: Dataset, rows: int, cols: int, path: File) -> None:
    """Raises if the pixels are fewer than the rows need, or suffice for another row."""
    row = cols * dataset.BitsAllocated // 8
    available = len(dataset.get("PixelData") or b"")
    if available < rows * row:
        raise InputError(
            f"expected {rows * row} bytes of pixels, got {available}: {path} is cut short"
        )
    if available >= (rows + 1) * row:
        raise InputError(f"expected {rows} rows of {cols} pixels, got more of them in {path}")


def _check_decodable(dataset: Dataset, path: File) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise InputError(
            f"expected images in a transfer syntax that pydicom reads, got {syntax.name} in {path}"
        ) from None
    if not available:
        raise InputError(
            f"expected pixels that can be decoded here, got {syntax.name}, which `pip install "
            f"{DECODERS}` makes readable: {path}"
        )
