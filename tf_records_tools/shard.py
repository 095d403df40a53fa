"""One subject: a scan becomes a shard of records, each with a patch of the input and of the target.

There are two passes. Any process may run either of them, on this machine or another, so each pass
leaves its result as JSON beside the shard.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from absl import logging
from numpy.typing import NDArray
from tqdm import tqdm

from mrsr_tf.errors import InputError, naming
from mrsr_tf.io.scans import Scan
from mrsr_tf.mri.slices import DEFAULT_FACTOR, Profile
from mrsr_tf.mri.zero_filling import interpolated_slices
from mrsr_tf.outputs import write_json
from mrsr_tf.records.contrasts import Contrasts
from mrsr_tf.records.manifest import ShardInfo, scan_sha256
from mrsr_tf.records.patches import cut, positions
from mrsr_tf.records.schema import empty_record, encode, quantise, value_range
from mrsr_tf.records.tfrecord import CHECKSUM_BYTES, FRAMING_BYTES, framed
from mrsr_tf.volume import Volume, intensity_scale
from tf_records_tools.training_pair import clip_hot_voxels, training_image, training_pair

RECORDS_AT_ONCE = 32
TISSUE_SHARE = 0.01  # a patch with a smaller share of bright voxels is air


@dataclass(frozen=True)
class Settings:
    """The settings that determine a subject's records.

    Attributes:
        contrasts: echoes of the records.
        patch_size: in voxels, the same along all axes; so is the stride.
        slice_factor: fine slices per thick one.
        profile: slice profile of the thick slices, see `mrsr_tf.mri.slices.thicken`.
        air_below: leave out a patch as air if less than 1 % of its voxels have an echo of at least
            this share of the subject's intensity scale; 0 keeps all patches.
        allow_interpolated: whether to accept slices that the scanner interpolated.
        seed: of the split and of the order of the records.
        slice_axis: the axis of a NIfTI file that counts slices.
    """

    contrasts: Contrasts
    patch_size: int = 32
    stride: int = 16
    slice_factor: int = DEFAULT_FACTOR
    profile: Profile = Profile.FIR
    air_below: float = 0.0
    allow_interpolated: bool = False
    seed: int = 0
    slice_axis: int = 2


@dataclass(frozen=True)
class ScanSummary:
    """Result of the first pass: the scan's hashes, its size in memory, and its records with air."""

    scan_sha256: str
    identity: str
    array_bytes: int
    records: int
    shard_bytes: int


@dataclass(frozen=True)
class Subject:
    """A scan and the shard to make of it; its number and its patient's are those in the records."""

    number: int
    patient: int
    scan: Scan
    shard: Path
    settings: Settings

    @property
    def summary(self) -> ScanSummary:
        """Result of `summarize_scan`."""
        return ScanSummary(**self._read_result("summary"))

    @property
    def info(self) -> ShardInfo:
        """Result of `make_shard`."""
        return self._read_result("info")

    @property
    def is_finished(self) -> bool:
        """Whether the shard is whole and was made of the scan that `summarize_scan` read."""
        try:
            same_scan = self.info["source_identity"] == self.summary.identity
            return same_scan and self.shard.stat().st_size == self.info["bytes"]
        except (FileNotFoundError, InputError, KeyError):
            return False

    def result_path(self, kind: str) -> Path:
        """The file in which a pass leaves its result."""
        return self.shard.with_suffix(f".{kind}.json")

    def _read_result(self, kind: str) -> Any:
        path = self.result_path(kind)
        if not path.exists():
            raise InputError(
                f"expected every worker to write into the same folder, found no {path.name} there: "
                f"{path.parent}"
            )
        return json.loads(path.read_text(encoding="utf-8"))


def summarize_scan(subject: Subject) -> None:
    """First pass: checks the scan and computes its hash and how much room its records need.

    Raises:
        InputError: the scan cannot be read or does not suit the settings.
    """
    settings = subject.settings
    with naming(subject.scan):
        volume = _read(subject)
        fine = training_image(volume, settings.contrasts)
        intensity_scale(fine)  # refuses an empty image
        records = len(positions(fine.shape[:3], settings.patch_size, settings.stride))
    frame_bytes = empty_record(settings.patch_size, fine.shape[3]).nbytes + FRAMING_BYTES
    summary = ScanSummary(
        scan_sha256(volume),
        volume.identity,
        volume.array.nbytes,
        records,
        records * frame_bytes,
    )
    write_json(subject.result_path("summary"), asdict(summary))


def make_shard(subject: Subject) -> None:
    """Second pass: writes the subject's records and their description in the manifest.

    Raises:
        InputError: the scan does not suit the settings.
    """
    with naming(subject.scan):
        with _errors_only():
            volume = _read(subject)
        info = write_shard(volume, subject)
    write_json(subject.result_path("info"), info)


def write_shard(volume: Volume, subject: Subject) -> ShardInfo:
    """Writes all records of a subject, in an order that depends on the seed.

    Returns:
        The description in the manifest, whose hashes are not salted yet.

    Raises:
        InputError: the scan does not suit the settings.
        OSError: the disk is full.
    """
    settings = subject.settings
    fine, hot = clip_hot_voxels(training_image(volume, settings.contrasts))
    grid = positions(fine.shape[:3], settings.patch_size, settings.stride)
    inputs, targets, scale = training_pair(fine, settings.slice_factor, settings.profile)
    tissue = _without_air(targets, grid, settings)
    order = np.random.default_rng([settings.seed, subject.number]).permutation(tissue)
    levels = quantise(inputs), quantise(targets)

    def records() -> Iterator[bytes]:
        for start in range(0, len(order), RECORDS_AT_ONCE):
            patches = order[start : start + RECORDS_AT_ONCE]
            for record in encode(*levels, patches, settings.patch_size, subject.number):
                yield record.tobytes()

    size, records_sha256 = _write(subject.shard, records(), len(order))
    return {
        "records": len(order),
        "air": len(grid) - len(order),
        "bytes": size,
        "records_sha256": records_sha256,
        "shape": list(fine.shape[:3]),
        "intensity_scale": scale,
        "input_range": value_range(levels[0].offset, levels[0].scale),
        "target_range": value_range(levels[1].offset, levels[1].scale),
        "clipped": hot,
        "echoes_in_scan": volume.echoes,
        "spacing_mm": volume.spacing_mm.round(6).tolist(),
        "echo_times_ms": list(volume.echo_times_ms) if volume.echo_times_ms else None,
        "repetition_time_ms": volume.repetition_time_ms,
        "flip_angle_deg": volume.flip_angle_deg,
        "source_sha256": scan_sha256(volume),
        "source_identity": volume.identity,
    }


def _read(subject: Subject) -> Volume:
    volume = subject.scan.read(subject.settings.slice_axis)
    reason = None if subject.settings.allow_interpolated else interpolated_slices(volume)
    if reason:
        raise InputError(
            f"expected slices as they were acquired, to train on, but {reason} "
            "(--allow_interpolated takes them all the same)"
        )
    return volume


@contextmanager
def _errors_only() -> Iterator[None]:
    """Suppresses warnings, because the first pass read the same scan and showed them."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _without_air(
    targets: NDArray[np.float32], grid: NDArray[np.int64], settings: Settings
) -> NDArray[np.int64]:
    """The positions of the patches that are not air, see `Settings.air_below`."""
    if not settings.air_below:
        return grid
    bright: NDArray[np.bool_] = np.max(targets, axis=3) >= settings.air_below
    shares = [cut(bright, position[None], settings.patch_size).mean() for position in grid]
    tissue = grid[np.array(shares) >= TISSUE_SHARE]
    if not len(tissue):
        raise InputError(
            f"expected patches brighter than {settings.air_below} of the intensity scale, found "
            "all to be air: lower --air_below"
        )
    return tissue


def _write(shard: Path, records: Iterator[bytes], total: int) -> tuple[int, str]:
    """Writes the shard, whole or not at all; returns its size in bytes and its records' hash."""
    # The name is unique, because a worker of a killed call may still be writing this shard.
    partial = shard.with_name(f"partial.{uuid4().hex}.{shard.name}")
    silent = multiprocessing.parent_process() is not None or None  # one bar for all workers
    checksums = hashlib.sha256()
    try:
        with partial.open("wb") as file:
            for record in tqdm(
                records, "patches", total, unit="patch", leave=False, disable=silent, delay=2
            ):
                frame = framed(record)
                checksums.update(frame[-CHECKSUM_BYTES:])
                file.write(frame)
        size = partial.stat().st_size
        partial.replace(shard)
    except OSError as error:
        raise OSError(f"cannot write {shard}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return size, checksums.hexdigest()
