"""One subject: a scan becomes pairs of patches in a shard."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.outputs import output_file
from mrsr_tf.patches import positions
from mrsr_tf.records import Levels, encode, frame_dtype, quantise, record_dtype
from mrsr_tf.slices import interpolate, thicken
from mrsr_tf.volume import Volume, intensity_scale

RECORDS_AT_ONCE = 32


@dataclass(frozen=True)
class Settings:
    """What decides a subject's records.

    Attributes:
        contrasts: "single" or "dual".
        patch_size: in voxels, the same along all axes.
        stride: in voxels, likewise.
        slice_factor: fine slices per thick one.
        seed: of the split and of the order of the records.
        slice_axis: of a NIfTI file.
    """

    contrasts: str
    patch_size: int = 32
    stride: int = 16
    slice_factor: int = 2
    seed: int = 0
    slice_axis: int = 2


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
    fine: NDArray[np.float32], slice_factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """What the network is given and what it shall give, both divided by the one scale.

    The network is given the fine slices made thick and interpolated back to where they were.

    Args:
        fine: (rows, cols, slices, echoes), scanner intensities.
        slice_factor: fine slices per thick one; it need not divide the slices.

    Returns:
        Input and truth of the shape of `fine`, and the scale.

    Raises:
        InputError: the image is empty.
    """
    given = interpolate(thicken(fine, slice_factor), slice_factor)[:, :, : fine.shape[2]]
    scale = intensity_scale(given)
    return given / np.float32(scale), fine / np.float32(scale), scale


def source_sha256(volume: Volume, salt: str) -> str:
    """Recognises a scan among these records, and only there: the salt differs from set to set."""
    digest = hashlib.sha256(f"{salt} {volume.array.shape}".encode())
    digest.update(np.ascontiguousarray(volume.array).data)
    return digest.hexdigest()


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
        InputError: the scan does not suit the settings, or the disk is too small.
    """
    fine = contrast(volume, settings.contrasts)
    places = positions(fine.shape[:3], settings.patch_size, settings.stride)
    _check_room(shard, len(places), record_dtype(settings.patch_size, fine.shape[3]))
    given, truth, scale = training_pair(fine, settings.slice_factor)
    places = np.random.default_rng([settings.seed, number]).permutation(places)
    _write(shard, _records(quantise(given), quantise(truth), places, number, settings), len(places))
    return {
        "records": len(places),
        "shape": list(fine.shape[:3]),
        "intensity_scale": scale,
        "echoes_in_scan": volume.echoes,
        "spacing_mm": volume.spacing_mm.round(6).tolist(),
        "echo_times_ms": volume.echo_times_ms,
        "repetition_time_ms": volume.repetition_time_ms,
        "flip_angle_deg": volume.flip_angle_deg,
    }


def _records(
    given: Levels, truth: Levels, places: NDArray[np.int64], number: int, settings: Settings
) -> Iterator[bytes]:
    for start in range(0, len(places), RECORDS_AT_ONCE):
        some = places[start : start + RECORDS_AT_ONCE]
        for record in encode(given, truth, some, settings.patch_size, number):
            yield record.tobytes()


def _write(shard: Path, records: Iterator[bytes], total: int) -> None:
    import tensorflow as tf

    bar = tqdm(records, "patches", total, unit="patch", leave=False, disable=None, delay=2)
    try:
        with output_file(shard) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
            for record in bar:
                writer.write(record)
    except tf.errors.OpError as error:
        raise OSError(f"cannot write {shard}: {error.message}") from None


def _check_room(shard: Path, records: int, record: np.dtype) -> None:
    needed = records * frame_dtype(record).itemsize
    free = shutil.disk_usage(shard.parent).free
    if needed > free:
        raise InputError(
            f"expected {needed / 1e9:.2f} GB of free disk for the subject's {records} records, "
            f"found {free / 1e9:.2f} GB in {shard.parent}"
        )
