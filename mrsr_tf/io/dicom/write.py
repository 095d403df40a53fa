"""Writes a `Volume`, or a T2 map of it, as derived series in the study of its source."""

import re
import uuid
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.derived_header import code, decimal, derived_header, has_valid_uid
from mrsr_tf.io.dicom.files import Image, quiet
from mrsr_tf.io.dicom.ge_private import add_spoiler
from mrsr_tf.io.dicom.parametric_map import DISPLAYED_MS, parametric_map
from mrsr_tf.io.dicom.pixels import UNSIGNED, PixelScale, pixel_scale
from mrsr_tf.io.dicom.provenance import derivation_text, header_derivation, is_derived
from mrsr_tf.io.dicom.read import read_series
from mrsr_tf.io.dicom.series import Series, find_series
from mrsr_tf.io.header_numbers import positive
from mrsr_tf.io.scan_format import Derivation, T2Format
from mrsr_tf.volume import Volume

ACQUIRED = "acquired_slice_thickness_mm"
LARGEST = np.iinfo(UNSIGNED).max
LONGEST_DESCRIPTION = 64  # characters
LARGEST_NUMBER = 2**31 - 1  # of an integer string
GREY = ("MONOCHROME1", "MONOCHROME2")  # the lowest value is displayed white, black
SHARED_UIDS = ("StudyInstanceUID", "FrameOfReferenceUID")
T2_STEP_MS = 0.01
T2_SERIES = {T2Format.MR: ("T2", 10), T2Format.PM: ("T2 parametric", 11)}  # name, number
PARAMETRIC_MAP = "t2.dcm"
GRID_TOLERANCE_VOXELS = 1e-3
UIDS = uuid.UUID("5a1c9e52-0c1e-4d0b-9d7a-6f3d5f0e8b47")  # the name space of all UIDs made here


@quiet()
def write_series(
    volume: Volume,
    path: str | Path,
    *,
    like: str | Path,
    series_uids: Collection[str] = (),
    derivation: Derivation | None = None,
) -> None:
    """Writes one derived series per echo into folder `path`: echo1_0001.dcm, ...

    Intensities are stored on one scale for all echoes (see `as_stored`) and displayed in the sense
    of the source, dark on bright if that is MONOCHROME1. With a derivation the UIDs follow from it
    and from those of the source, so the same images computed and sent again replace the first ones;
    otherwise they are new each time. Study and frame of reference are those of the source. Where
    one is not valid or missing, a warning says so, and all that is derived of this source shares a
    new one.

    Args:
        volume: a scan on the in-plane grid of `like`, with any slice spacing.
        path: the folder to write into, which is created if it does not exist.
        like: the DICOM of the source, for patient, study and acquisition.
        series_uids: the series of those images in `like` that are the source; by default all are.
        derivation: how the volume was derived; `acquired_slice_thickness_mm` is added, and so is
            `source` if it is missing (see `Format.write`).

    Raises:
        InputError: `like` cannot be read, or the volume has another grid or number of echoes.
    """
    source = _source(like, series_uids)
    if volume.echoes != len(source.echoes):
        raise InputError(f"expected the {len(source.echoes)} echoes of {like}, got {volume.echoes}")
    scale = pixel_scale(volume.array, _rescale(source))
    completed = _completed(derivation or {}, source, like, series_uids)
    text = derivation_text(completed)
    for echo, images in enumerate(source.echoes):
        seed = _seed(images[0], text, echo + 1, derivation)
        series = _series(images[0], f"MRSR echo {echo + 1}", echo + 1, seed, completed["source"])
        series.DerivationDescription = text
        for index, header in enumerate(_headers(volume, source, [images], series)):
            header.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
            header.EchoNumbers = echo + 1
            _add_acquisition(header, volume, echo)
            _add_pixels(header, volume.array[:, :, index, echo], scale, _photometric(images[0]))
            _save(header, Path(path), f"echo{echo + 1}_{index + 1:04d}.dcm", seed)


@quiet()
def write_t2_map(
    t2_ms: NDArray[np.floating],
    volume: Volume,
    path: str | Path,
    *,
    like: str | Path,
    series_uids: Collection[str] = (),
    derivation: Derivation | None = None,
    t2_format: T2Format = T2Format.MR,
) -> None:
    """Writes a T2 map as a derived series: MR images t2_0001.dcm, ..., or a Parametric Map t2.dcm.

    Of MR images, stored values times RescaleSlope are ms, and RealWorldValueMapping says so; stored
    0 means invalid (NaN, infinite or not above 0) and has no real-world value. A Parametric Map,
    see `parametric_map`, is a series of its own, so both can be in one study. `t2_ms` is (rows,
    cols, slices), computed from `volume`; the other arguments are those of `write_series`.

    Raises:
        InputError: the map has another shape than the volume, a Parametric Map is to be written
            without highdicom, or for the reasons of `write_series`.
    """
    if t2_ms.shape != volume.array.shape[:3]:
        raise InputError(f"expected a T2 map of {volume.array.shape[:3]}, got {t2_ms.shape}")
    source = _source(like, series_uids)
    valid_ms = np.where(np.isfinite(t2_ms) & (t2_ms > 0), t2_ms, np.nan)
    completed = _completed(derivation or {}, source, like, series_uids)
    text = derivation_text(completed)
    for kind in t2_format.kinds:
        name, number = T2_SERIES[kind]
        seed = _seed(source.images[0], text, name, derivation)
        series = _series(source.images[0], f"{name} map", number, seed, completed["source"])
        series.DerivationDescription = text
        headers = _headers(volume, source, source.echoes, series)
        if kind is T2Format.PM:
            uid = _uid(seed, PARAMETRIC_MAP)
            dataset = parametric_map(valid_ms, [*headers], source, uid)
            _save(dataset, Path(path), PARAMETRIC_MAP, seed)
        else:
            _save_t2_series(valid_ms, headers, Path(path), seed)


@quiet()
def as_stored(volume: Volume, *, like: str | Path, series_uids: Collection[str] = ()) -> Volume:
    """The volume as it reads back after `write_series`: rounded to 16 bits, nothing clipped.

    The scale is that of the source if all its images share one that is fine and wide enough, so
    that stored values keep their meaning.
    """
    scale = pixel_scale(volume.array, _rescale(find_series(like, series_uids)))
    return replace(volume, array=scale.to_intensities(scale.to_stored(volume.array)))


def _save_t2_series(
    valid_ms: NDArray[np.floating], headers: Iterator[Dataset], folder: Path, seed: str
) -> None:
    slope = max(T2_STEP_MS, float(decimal(np.nanmax(valid_ms, initial=0) / LARGEST)))
    for index, header in enumerate(headers):
        header.ImageType = ["DERIVED", "SECONDARY", "T2 MAP"]
        header.EchoTime = None
        header.WindowCenter, header.WindowWidth = DISPLAYED_MS
        stored = np.nan_to_num(valid_ms[:, :, index])
        _add_pixels(header, stored, PixelScale(slope, 0.0, UNSIGNED))
        header.RealWorldValueMappingSequence = [_milliseconds(slope)]
        _save(header, folder, f"t2_{index + 1:04d}.dcm", seed)


def _source(like: str | Path, series_uids: Collection[str]) -> Series:
    """The source; warns of UIDs that derived images cannot share or refer to."""
    source = find_series(like, series_uids)
    invalid = [
        keyword
        for keyword in (*SHARED_UIDS, "SOPInstanceUID")
        if not all(has_valid_uid(image.header, keyword) for image in source.images)
    ]
    if invalid:
        logging.warning("expected valid UIDs, got none as %s: %s (derived images have their own)",
                        " and ".join(invalid), like)  # fmt: skip
    return source


def _headers(
    volume: Volume, source: Series, echoes: list[list[Image]], series: Dataset
) -> Iterator[Dataset]:
    """A header for each slice of `volume`, with references to the images of `echoes` it is from."""
    positions = _source_positions(volume, source)
    reach = max(1.0, float(np.ptp(positions[:2])))
    last = len(source.echoes[0]) - 1
    for index, position in enumerate(positions):
        nearest = round(min(max(position, 0), last))
        covering = [i for i in range(last + 1) if abs(i - position) < reach] or [nearest]
        images = [echo[i] for echo in echoes for i in covering]
        header = derived_header(echoes[0][nearest], volume.affine, index, images)
        header.update(series)
        yield header


def _source_positions(volume: Volume, source: Series) -> NDArray[np.float64]:
    """(slices,) positions of the slices of the volume, counted in slices of the source."""
    to_source = np.linalg.inv(source.affine) @ volume.affine
    rows, cols, slices, _ = volume.array.shape
    corners = np.array([[0, 0, 0, 1], [rows, 0, 0, 1], [0, cols, 0, 1], [0, 0, slices, 1]]).T
    in_plane = (to_source @ corners - corners)[:2]
    same_plane = np.abs(in_plane).max() < GRID_TOLERANCE_VOXELS
    if (rows, cols) != source.images[0].matrix or not same_plane or to_source[2, 2] <= 0:
        raise InputError(
            f"expected a volume on the rows and columns of {source.images[0].path.parent}, "
            f"got one of another grid"
        )
    return to_source[2, 3] + np.arange(slices) * to_source[2, 2]


def _series(source: Image, description: str, number: int, seed: str, identity: str) -> Dataset:
    series, source_number = Dataset(), int(positive(source.header.get("SeriesNumber")) or 0)
    series.SeriesInstanceUID = _uid(seed, "series")
    for keyword in SHARED_UIDS:
        uid = str(source.header.get(keyword) or "")
        is_valid = has_valid_uid(source.header, keyword)
        setattr(series, keyword, uid if is_valid else _uid(uid or identity, keyword))
    hundreds = 100 * source_number if source_number < 10**7 else source_number
    series.SeriesNumber = number + min(hundreds, LARGEST_NUMBER - 100)
    source_description = str(source.header.get("SeriesDescription") or "")
    if is_derived(source.header):
        source_description = re.sub(r" echo \d$", "", source_description)  # a T2 map is of both
    kept = source_description[: LONGEST_DESCRIPTION - 1 - len(description)]
    series.SeriesDescription = f"{kept} {description}".strip()
    return series


def _completed(
    derivation: Derivation, source: Series, like: str | Path, series_uids: Collection[str]
) -> dict[str, Any]:
    """The derivation with the identity and the acquired slice thickness of the source."""
    completed, header = dict(derivation), source.images[0].header
    # A source that is itself derived knows the thickness of its own source.
    source_derivation = header_derivation(header) or {}
    thickness = source_derivation.get(ACQUIRED, positive(header.get("SliceThickness")))
    if thickness:
        completed.setdefault(ACQUIRED, thickness)
    if "source" not in completed:
        completed["source"] = read_series(like, series_uids).identity
    return completed


def _rescale(source: Series) -> tuple[float, float] | None:
    """Slope and intercept that all images of the source share; None if they differ."""
    rescales = {image.rescale for image in source.images}
    return rescales.pop() if len(rescales) == 1 else None


def _photometric(source: Image) -> str:
    name = source.header.get("PhotometricInterpretation")
    return name if name in GREY else GREY[1]


def _add_acquisition(header: Dataset, volume: Volume, echo: int) -> None:
    if volume.echo_times_ms is not None:
        header.EchoTime = decimal(volume.echo_times_ms[echo])
    if volume.repetition_time_ms is not None:
        header.RepetitionTime = decimal(volume.repetition_time_ms)
    if volume.flip_angle_deg is not None:
        header.FlipAngle = decimal(volume.flip_angle_deg)
    if volume.spoiler_area is not None and volume.spoiler_duration_us is not None:
        add_spoiler(header, decimal(volume.spoiler_area), decimal(volume.spoiler_duration_us))


def _add_pixels(
    header: Dataset,
    intensities: NDArray[np.floating],
    scale: PixelScale,
    photometric: str = GREY[1],
) -> None:
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, photometric
    header.Rows, header.Columns = intensities.shape
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, int(scale.dtype.kind == "i")
    if (scale.slope, scale.intercept) != (1, 0):
        header.RescaleSlope, header.RescaleIntercept = (
            decimal(scale.slope),
            decimal(scale.intercept),
        )
        header.RescaleType = "US"
    header.PixelData = scale.to_stored(intensities).tobytes()


def _milliseconds(slope: float) -> Dataset:
    mapping = Dataset()
    mapping.add_new("RealWorldValueFirstValueMapped", "US", 1)
    mapping.add_new("RealWorldValueLastValueMapped", "US", LARGEST)
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, 0.0
    mapping.LUTLabel, mapping.LUTExplanation = "T2", "T2 in ms; stored 0 is invalid"
    mapping.MeasurementUnitsCodeSequence = [code("ms", "UCUM", "millisecond")]
    return mapping


def _save(header: Dataset, folder: Path, name: str, seed: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header.SOPInstanceUID = _uid(seed, name)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(folder / name, enforce_file_format=True)


def _seed(source: Image, text: str, series: int | str, derivation: object) -> str:
    """The seed of a series' UIDs: derivation and source if there is one, else a random number."""
    if not derivation:
        return f"{series} {uuid.uuid4()}"
    uids = (source.header.get(keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID"))
    return f"{series} {text} {' '.join(map(str, uids))}"


def _uid(seed: str, name: str) -> str:
    """A UID from a UUID (DICOM PS3.5 B.2) that is determined by the name (RFC 9562)."""
    return f"2.25.{uuid.uuid5(UIDS, f'{seed} {name}').int}"
