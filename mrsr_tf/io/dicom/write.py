"""Writes a `Volume`, or a T2 map of it, as derived series in the study of its source."""

import re
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.derived_header import code, decimal, derived_header
from mrsr_tf.io.dicom.files import Image, positive, quiet
from mrsr_tf.io.dicom.ge_private import add_spoiler
from mrsr_tf.io.dicom.provenance import (
    derivation_text,
    header_derivation,
    images_digest,
    is_derived,
)
from mrsr_tf.io.dicom.series import Series, find_series
from mrsr_tf.io.scan_format import Derivation
from mrsr_tf.volume import Volume

ACQUIRED = "acquired_slice_thickness_mm"
LARGEST = 65535  # the largest stored value, of unsigned 16 bits
LONGEST_DESCRIPTION = 64  # characters
FINE_STEPS = 1000
T2_STEP_MS = 0.01
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

    Intensities are stored as unsigned 16-bit integers on one scale for all echoes, negative ones as
    0. It is the scale of the source if that is fine and wide enough, so that stored values keep
    their meaning. With a derivation the UIDs follow from it and from those of the source, so the
    same images computed and sent again replace the first ones; otherwise they are new each time.

    Args:
        volume: a scan on the in-plane grid of `like`, with any slice spacing.
        path: the folder to write into, which is created if it does not exist.
        like: the DICOM of the source, for patient, study and acquisition.
        series_uids: the series of those images in `like` that are the source; by default all are.
        derivation: how the volume was derived; `source` and `acquired_slice_thickness_mm` are
            added.

    Raises:
        InputError: `like` cannot be read, or the volume has another grid or number of echoes.
    """
    source = find_series(like, series_uids)
    if volume.echoes != len(source.echoes):
        raise InputError(f"expected the {len(source.echoes)} echoes of {like}, got {volume.echoes}")
    scale = _scale(volume.array, source.images[0].rescale)
    text = derivation_text(_completed(derivation or {}, source))
    for echo, images in enumerate(source.echoes):
        seed = _seed(text, echo + 1, derivation)
        series = _series(images[0], f"MRSR echo {echo + 1}", echo + 1, seed)
        for index, header in enumerate(_headers(volume, source, [images])):
            header.update(series)
            header.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
            header.DerivationDescription = text
            header.EchoNumbers = echo + 1
            _add_acquisition(header, volume, echo)
            _add_pixels(header, volume.array[:, :, index, echo], *scale)
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
) -> None:
    """Writes a T2 map as a derived series of its own: t2_0001.dcm, ...

    Stored values times RescaleSlope are ms, and RealWorldValueMapping says so; stored 0 means
    invalid (NaN, infinite or not above 0) and has no real-world value. `t2_ms` is (rows, cols,
    slices), computed from `volume`; the other arguments are those of `write_series`.

    Raises:
        InputError: the map has another shape than the volume, or for the reasons of `write_series`.
    """
    if t2_ms.shape != volume.array.shape[:3]:
        raise InputError(f"expected a T2 map of {volume.array.shape[:3]}, got {t2_ms.shape}")
    source = find_series(like, series_uids)
    valid_ms = np.where(np.isfinite(t2_ms) & (t2_ms > 0), t2_ms, 0)
    slope = max(T2_STEP_MS, float(decimal(valid_ms.max() / LARGEST)))
    text = derivation_text(_completed(derivation or {}, source))
    seed = _seed(text, "T2", derivation)
    series = _series(source.images[0], "T2 map", 10, seed)
    for index, header in enumerate(_headers(volume, source, source.echoes)):
        header.update(series)
        header.ImageType = ["DERIVED", "SECONDARY", "T2 MAP"]
        header.DerivationDescription = text
        header.EchoTime = None
        header.WindowCenter, header.WindowWidth = 50, 100
        _add_pixels(header, valid_ms[:, :, index], slope, 0.0)
        header.RealWorldValueMappingSequence = [_milliseconds(slope)]
        _save(header, Path(path), f"t2_{index + 1:04d}.dcm", seed)


def _headers(volume: Volume, source: Series, echoes: list[list[Image]]) -> Iterator[Dataset]:
    """A header for each slice of `volume`, with references to the images of `echoes` it is from."""
    positions = _source_positions(volume, source)
    reach = max(1.0, float(np.ptp(positions[:2])))
    last = len(source.echoes[0]) - 1
    for index, position in enumerate(positions):
        nearest = round(min(max(position, 0), last))
        covering = [i for i in range(last + 1) if abs(i - position) < reach] or [nearest]
        images = [echo[i] for echo in echoes for i in covering]
        yield derived_header(echoes[0][nearest], volume.affine, index, images)


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


def _series(source: Image, description: str, number: int, seed: str) -> Dataset:
    series, source_number = Dataset(), int(positive(source.header.get("SeriesNumber")) or 0)
    series.SeriesInstanceUID = _uid(seed, "series")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(series, keyword, source.header.get(keyword) or _uid(seed, keyword))
    series.SeriesNumber = number + (100 * source_number if source_number < 10**7 else source_number)
    source_description = str(source.header.get("SeriesDescription") or "")
    if is_derived(source.header):
        source_description = re.sub(r" echo \d$", "", source_description)  # a T2 map is of both
    kept = source_description[: LONGEST_DESCRIPTION - 1 - len(description)]
    series.SeriesDescription = f"{kept} {description}".strip()
    return series


def _completed(derivation: Derivation, source: Series) -> dict[str, Any]:
    """The derivation with the identity and the acquired slice thickness of the source."""
    completed, header = dict(derivation), source.images[0].header
    # A source that is itself derived knows the thickness of its own source.
    source_derivation = header_derivation(header) or {}
    thickness = source_derivation.get(ACQUIRED, positive(header.get("SliceThickness")))
    if thickness:
        completed.setdefault(ACQUIRED, thickness)
    completed["source"] = images_digest(source.images)
    return completed


def _add_acquisition(header: Dataset, volume: Volume, echo: int) -> None:
    if volume.echo_times_ms is not None:
        header.EchoTime = decimal(volume.echo_times_ms[echo])
    if volume.repetition_time_ms is not None:
        header.RepetitionTime = decimal(volume.repetition_time_ms)
    if volume.flip_angle_deg is not None:
        header.FlipAngle = decimal(volume.flip_angle_deg)
    if volume.spoiler_area is not None and volume.spoiler_duration_us is not None:
        add_spoiler(header, decimal(volume.spoiler_area), decimal(volume.spoiler_duration_us))


def _scale(array: NDArray[np.float32], source: tuple[float, float]) -> tuple[float, float]:
    """Slope and intercept of the stored values: those of the source if they fit, else new ones."""
    low, high = max(0.0, float(array.min())), max(0.0, float(array.max()))
    slope, intercept = source
    stored_low, stored_high = (low - intercept) / slope, (high - intercept) / slope
    if stored_low > -0.5 and FINE_STEPS <= stored_high <= LARGEST:
        return source
    return float(decimal((high or 1.0) / LARGEST)), 0.0


def _add_pixels(
    header: Dataset, intensities: NDArray[np.floating], slope: float, intercept: float
) -> None:
    stored = np.rint((np.maximum(intensities, 0).astype(np.float64) - intercept) / slope)
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = intensities.shape
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0
    if (slope, intercept) != (1, 0):
        header.RescaleSlope, header.RescaleIntercept = decimal(slope), decimal(intercept)
        header.RescaleType = "US"
    header.PixelData = np.clip(stored, 0, LARGEST).astype("<u2").tobytes()


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


def _seed(text: str, series: int | str, derivation: object) -> str:
    """The seed of the UIDs of a series: its derivation if there is one, else a random number."""
    return f"{series} {text if derivation else uuid.uuid4()}"


def _uid(seed: str, name: str) -> str:
    """A UID from a UUID (DICOM PS3.5 B.2) that is determined by the name (RFC 9562)."""
    return f"2.25.{uuid.uuid5(UIDS, f'{seed} {name}').int}"
