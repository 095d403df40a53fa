"""One subject: a scan becomes pairs of patches in a shard.

Two passes, each of which any process may run, on this machine or another: what it found out is
left beside the shard.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from absl import logging
from numpy.typing import NDArray
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.io.scans import Scan
from mrsr_tf.mri.slices import first_slice, interpolate, thicken
from mrsr_tf.mri.zero_filling import interpolated_slices
from mrsr_tf.outputs import write_json
from mrsr_tf.records.manifest import scan_sha256
from mrsr_tf.records.patches import cut, positions
from mrsr_tf.records.schema import (
    CHECKSUM_BYTES,
    FRAMING_BYTES,
    LEVELS,
    Levels,
    encode,
    framed,
    quantise,
    record_dtype,
)
from mrsr_tf.volume import Volume, intensity_scale

RECORDS_AT_ONCE = 32
# A patch is air when fewer of its voxels than this are as bright as `Settings.air_below`.
TISSUE_SHARE = 0.01


@dataclass(frozen=True)
class Settings:
    """What decides a subject's records.

    Attributes:
        contrasts: "single" or "dual".
        patch_size: in voxels, the same along all axes.
        stride: in voxels, likewise.
        slice_factor: fine slices per thick one.
        profile: what makes slices thick, see `mrsr_tf.mri.slices.thicken`.
        air_below: patches less than 1 % of whose voxels have an echo of so much of the subject's
            intensity scale are left out as air; 0 keeps all.
        allow_interpolated: train on slices that the scanner interpolated, too.
        seed: of the split and of the order of the records.
        slice_axis: of a NIfTI file.
    """

    contrasts: str
    patch_size: int = 32
    stride: int = 16
    slice_factor: int = 2
    profile: str = "fir"
    air_below: float = 0.0
    allow_interpolated: bool = False
    seed: int = 0
    slice_axis: int = 2


@dataclass(frozen=True)
class Subject:
    """A scan, and the shard to make of it.

    Attributes:
        number: the subject's within the records.
        patient: who was scanned, a number within the records; others may be of the same.
        scan: the scan to read.
        shard: the file to write.
        settings: what to make of the scan.
    """

    number: int
    patient: int
    scan: Scan
    shard: Path
    settings: Settings

    @property
    def survey(self) -> dict[str, Any]:
        """What `survey_scan` found."""
        return self._note("survey")

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest says of the subject, once `make_shard` is done."""
        return self._note("facts")

    @property
    def is_made(self) -> bool:
        """Whether the shard stands, whole, and was made of the scan as `survey_scan` found it."""
        try:
            same_scan = self.facts["scan_sha256"] == self.survey["scan_sha256"]
            return same_scan and self.shard.stat().st_size == self.facts["bytes"]
        except (FileNotFoundError, InputError):
            return False

    def note_path(self, kind: str) -> Path:
        """Where a pass leaves what it found out."""
        return self.shard.with_suffix(f".{kind}.json")

    def _note(self, kind: str) -> dict[str, Any]:
        path = self.note_path(kind)
        if not path.exists():
            raise InputError(
                f"expected every worker to write into the same folder, found no {path.name} there: "
                f"{path.parent}"
            )
        return json.loads(path.read_text(encoding="utf-8"))


def survey_scan(subject: Subject) -> None:
    """First pass: whether the scan will do, what it is, and how much room its records need.

    Raises:
        InputError: the scan cannot be read or does not suit the settings.
    """
    try:
        volume = _read(subject)
        fine = contrast(volume, subject.settings.contrasts)
        intensity_scale(fine)
        size, stride = subject.settings.patch_size, subject.settings.stride
        records = len(positions(fine.shape[:3], size, stride))
    except InputError as error:
        raise _named(error, subject) from None
    note = {
        "scan_sha256": scan_sha256(volume),
        "array_bytes": volume.array.nbytes,
        "shard_bytes": records * (record_dtype(size, fine.shape[3]).itemsize + FRAMING_BYTES),
        "records": records,
    }
    write_json(subject.note_path("survey"), note)


def make_shard(subject: Subject) -> None:
    """Second pass: the subject's records, and what the manifest says of them.

    Raises:
        InputError: the scan does not suit the settings.
    """
    try:
        with _told_before():
            volume = _read(subject)
        facts = write_shard(volume, subject.shard, subject.number, subject.settings)
    except InputError as error:
        raise _named(error, subject) from None
    write_json(subject.note_path("facts"), {"scan_sha256": scan_sha256(volume), **facts})


@contextmanager
def _told_before() -> Iterator[None]:
    """No warnings: the first pass read the same scan and gave them."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _read(subject: Subject) -> Volume:
    volume = subject.scan.read(subject.settings.slice_axis)
    reason = None if subject.settings.allow_interpolated else interpolated_slices(volume)
    if reason:
        raise InputError(
            f"expected slices as they were acquired, to train on, but {reason} "
            "(--allow_interpolated takes them all the same)"
        )
    return volume


def _named(error: InputError, subject: Subject) -> InputError:
    """The error with the scan's path, which a reader's own messages have."""
    told = str(error)
    return InputError(told if str(subject.scan) in told else f"{told}: {subject.scan}")


def contrast(volume: Volume, contrasts: str) -> NDArray[np.float32]:
    """The image to train on: (rows, cols, slices, echoes), one echo for "single".

    The single contrast of a two-echo scan is the root of the sum of its squared echoes, which is
    how a scanner that gives one combined DESS image joins them.

    Raises:
        InputError: two echoes are wanted of a scan of one.
    """
    if contrasts == "single" and volume.echoes == 2:
        return np.linalg.norm(volume.array, axis=3, keepdims=True)
    if contrasts == "dual" and volume.echoes == 1:
        raise InputError("expected a scan of two echoes for --contrasts=dual, got one echo")
    return volume.array


def training_pair(
    fine: NDArray[np.float32], slice_factor: int, profile: str = "fir"
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """What the network is inputs and what it shall give, both divided by the one scale.

    The network is given the fine slices made thick and interpolated back to where they were.

    Args:
        fine: (rows, cols, slices, echoes), scanner intensities.
        slice_factor: fine slices per thick one; it need not divide the slices.
        profile: what makes slices thick.

    Returns:
        Input and targets of the shape of `fine`, and the scale.

    Raises:
        InputError: the image is empty.
    """
    thick = thicken(fine, slice_factor, profile=profile)
    first = first_slice(profile, slice_factor)
    inputs = interpolate(thick, slice_factor, first=first)[:, :, : fine.shape[2]]
    scale = intensity_scale(inputs)
    return inputs / np.float32(scale), fine / np.float32(scale), scale


def without_air(
    targets: NDArray[np.float32], places: NDArray[np.int64], settings: Settings
) -> NDArray[np.int64]:
    """The places of the patches that hold something, see `Settings.air_below`.

    Raises:
        InputError: none does.
    """
    if not settings.air_below:
        return places
    bright: NDArray[np.bool_] = np.max(targets, axis=3) >= settings.air_below
    size = settings.patch_size
    shares = [cut(bright, place[None], size).mean() for place in places]
    kept = places[np.array(shares) >= TISSUE_SHARE]
    if not len(kept):
        raise InputError(
            f"expected patches brighter than {settings.air_below} of the intensity scale, found "
            "all to be air: lower --air_below"
        )
    return kept


def write_shard(volume: Volume, shard: Path, number: int, settings: Settings) -> dict[str, Any]:
    """Writes all of a subject's records, in an order that the seed decides.

    Args:
        volume: the subject's scan.
        shard: the file to write.
        number: the subject's within these records.
        settings: what to make of the scan.

    Returns:
        What the manifest says of the subject: plain JSON values, none of them about who it is.

    Raises:
        InputError: the scan does not suit the settings.
        OSError: the disk is full.
    """
    fine = contrast(volume, settings.contrasts)
    grid = positions(fine.shape[:3], settings.patch_size, settings.stride)
    inputs, targets, scale = training_pair(fine, settings.slice_factor, settings.profile)
    kept = without_air(targets, grid, settings)
    places = np.random.default_rng([settings.seed, number]).permutation(kept)
    levels = quantise(inputs), quantise(targets)
    written = _write(shard, _records(*levels, places, number, settings), len(places))
    return {
        "records": len(places),
        "air": len(grid) - len(places),
        **written,
        "shape": list(fine.shape[:3]),
        "intensity_scale": scale,
        "input_range": _extremes(levels[0]),
        "target_range": _extremes(levels[1]),
        "echoes_in_scan": volume.echoes,
        "spacing_mm": volume.spacing_mm.round(6).tolist(),
        "echo_times_ms": volume.echo_times_ms,
        "repetition_time_ms": volume.repetition_time_ms,
        "flip_angle_deg": volume.flip_angle_deg,
    }


def _extremes(levels: Levels) -> list[float]:
    """In units of the intensity scale."""
    offset, step = float(levels.offset), float(levels.step)
    return [offset, offset + step * LEVELS]


def _records(
    inputs: Levels, targets: Levels, places: NDArray[np.int64], number: int, settings: Settings
) -> Iterator[bytes]:
    for start in range(0, len(places), RECORDS_AT_ONCE):
        some = places[start : start + RECORDS_AT_ONCE]
        for record in encode(inputs, targets, some, settings.patch_size, number):
            yield record.tobytes()


def _write(shard: Path, records: Iterator[bytes], total: int) -> Mapping[str, Any]:
    """Writes the shard, whole or not at all.

    A name of its own, since a worker whose call was killed may not have ended yet.
    """
    partial = shard.with_name(f"partial.{uuid4().hex}.{shard.name}")
    silent = multiprocessing.parent_process() is not None or None  # one bar for all workers
    bar = tqdm(records, "patches", total, unit="patch", leave=False, disable=silent, delay=2)
    checksums = hashlib.sha256()
    try:
        with partial.open("wb") as file:
            for record in bar:
                frame = framed(record)
                checksums.update(frame[-CHECKSUM_BYTES:])
                file.write(frame)
        written = {"bytes": partial.stat().st_size, "records_sha256": checksums.hexdigest()}
        partial.replace(shard)
    except OSError as error:
        raise OSError(f"cannot write {shard}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return written
