"""Shards of records to batches for training and validation.

Every record has a number, so an epoch's order is one permutation of all of them, known before
anything is read: no record is lost or seen twice, no memory goes into a shuffle buffer, and a
resumed run starts in the middle of an epoch without reading what it had seen.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.records import (
    BEFORE_RECORD,
    SCHEMA,
    check_header,
    frame_dtype,
    parse,
    record_dtype,
)

MANIFEST = "manifest.json"
ECHOES = {"single": 1, "dual": 2}
NEEDED = {"contrasts", "patch_size", "stride", "slice_factor", "counts", "subjects"}
NEEDED_OF_SUBJECT = {"number", "split", "shard", "records", "shape", "source_sha256"}
BATCHES_AHEAD = 4


def read_manifest(records_dir: str | Path) -> dict[str, Any]:
    """What `make_records` says about the records it made.

    Returns:
        The manifest's plain JSON values: "contrasts" ("single" or "dual"), "patch_size",
        "slice_factor", "counts" by split, "subjects" with their shards, and how it was all made.

    Raises:
        InputError: there is none, it cannot be read, or it is of another schema.
    """
    path = Path(records_dir) / MANIFEST
    if not path.is_file():
        raise InputError(
            f"expected finished records, found no {MANIFEST} in {records_dir}: make_records "
            "writes it last, and the same call of it again finishes what was interrupted"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        missing = NEEDED - manifest.keys()
        for subject in manifest.get("subjects", []):
            missing |= NEEDED_OF_SUBJECT - subject.keys()
    except (OSError, ValueError, TypeError, AttributeError):
        raise InputError(f"expected the manifest of records, found no such JSON: {path}") from None
    if manifest.get("schema") != SCHEMA:
        raise InputError(
            f"expected records of schema {SCHEMA}, found schema {manifest.get('schema')}: {path} "
            "(make them anew with this version)"
        )
    if missing:
        raise InputError(f"expected {', '.join(sorted(missing))} in the manifest: {path}")
    return manifest


def manifest_sha256(records_dir: str | Path) -> str:
    """Tells one set of records from another: each is made with a salt of its own."""
    read_manifest(records_dir)
    return hashlib.sha256((Path(records_dir) / MANIFEST).read_bytes()).hexdigest()


def steps_per_epoch(manifest: Mapping[str, Any], batch_size: int) -> int:
    """Batches in an epoch, the last one, which may be smaller, included."""
    return math.ceil(manifest["counts"]["train"]["records"] / batch_size)


def training_batches(
    records_dir: str | Path,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    skip_batches: int = 0,
    replicas: int = 1,
) -> tf.data.Dataset:
    """One epoch: every training record once, in an order that (seed, epoch) alone decides.

    Args:
        records_dir: what `make_records` wrote.
        batch_size: records per batch over all replicas; the last batch may have fewer.
        seed: of the training; not negative.
        epoch: from 0.
        skip_batches: how many to leave out at the beginning, at no cost.
        replicas: devices that a batch is spread over. Each batch is filled up to a multiple of
            it with records of weight 0, and the others' weight is raised so that the mean over
            the batch is the mean over its own records.

    Returns:
        Batches of (input, truth, weight): float32 (n, *patch_size, echoes) twice, in units of the
        subject's scale, and (n, 1, 1, 1).

    Raises:
        InputError: the records are not whole, or not of this schema.
    """
    reader = _Reader(records_dir, "train")
    order = np.random.default_rng([seed, epoch]).permutation(reader.records)
    return reader.batches(order[skip_batches * batch_size :], batch_size, replicas)


def validation_batches(
    records_dir: str | Path, batch_size: int, *, replicas: int = 1
) -> tf.data.Dataset:
    """Every validation record once, always in the same order.

    Arguments, result and errors are those of `training_batches`.
    """
    reader = _Reader(records_dir, "validation")
    return reader.batches(np.arange(reader.records), batch_size, replicas)


class _Reader:
    """The records of one split, by number."""

    def __init__(self, records_dir: str | Path, split: str) -> None:
        manifest = read_manifest(records_dir)
        subjects = [subject for subject in manifest["subjects"] if subject["split"] == split]
        if not subjects:
            raise InputError(
                f"expected {split} records, found none in {records_dir}: make_records "
                "--validation_subjects says how many subjects go there"
            )
        record = record_dtype(manifest["patch_size"], ECHOES[manifest["contrasts"]])
        self._patch, self._frame = record["input"].shape, frame_dtype(record)
        self._shards = [Path(records_dir) / subject["shard"] for subject in subjects]
        self._starts = list(accumulate((s["records"] for s in subjects), initial=0))
        self.records = self._starts.pop()
        for shard, subject in zip(self._shards, subjects, strict=True):
            check_shard(shard, subject["records"], record)

    def batches(self, order: NDArray[np.int64], batch_size: int, replicas: int) -> tf.data.Dataset:
        numbers, weights = _padded(order, batch_size, replicas)
        filled = math.ceil(batch_size / replicas) * replicas
        return (
            tf.data.Dataset.from_tensor_slices((numbers, weights))
            .batch(filled)
            .map(self._load, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(BATCHES_AHEAD)
        )

    def _load(self, numbers: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pair = tf.numpy_function(self._pairs, [numbers], [tf.float32] * 2, stateful=False)
        given, truth = (tf.ensure_shape(patches, (None, *self._patch)) for patches in pair)
        return given, truth, weights[:, None, None, None]

    def _pairs(self, numbers: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        given, truth = (np.empty((len(numbers), *self._patch), np.float32) for _ in range(2))
        for place, number in enumerate(numbers.tolist()):
            parse(self._record(number), given[place], truth[place])
        return [given, truth]

    def _record(self, number: int) -> np.void:
        place = bisect_right(self._starts, number) - 1
        frame = np.empty(1, self._frame)
        with self._shards[place].open("rb", buffering=0) as shard:
            shard.seek((number - self._starts[place]) * frame.itemsize)
            read = shard.readinto(frame)
        if read != frame.itemsize or frame[0]["length"] != self._frame["record"].itemsize:
            raise InputError(
                f"expected record {number - self._starts[place]}, found other bytes: "
                f"{self._shards[place]} (check_records says what is wrong)"
            )
        return frame[0]["record"]


def check_shard(path: Path, records: int, record: np.dtype) -> None:
    """Raises `InputError` unless a shard has its size and begins with a record of this schema."""
    frame = frame_dtype(record)
    try:
        with path.open("rb") as shard:
            beginning, size = shard.read(frame.itemsize), path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"expected {records} records, found no file: {path}") from None
    try:
        check_header(beginning[np.dtype(BEFORE_RECORD).itemsize :], record)
    except InputError as error:
        raise InputError(f"{error}: record 0 of {path}") from None
    if size != records * frame.itemsize:
        raise InputError(
            f"expected {records} records of {frame.itemsize} bytes, found {size} bytes, which end "
            f"with record {size // frame.itemsize}: {path}"
        )


def _padded(
    order: NDArray[np.int64], batch_size: int, replicas: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The order with each batch filled up from its own beginning, and the weight of each place."""
    numbers, weights = [order[:0]], [np.empty(0, np.float32)]
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        filled = math.ceil(len(batch) / replicas) * replicas
        numbers.append(np.resize(batch, filled))
        weights.append(np.where(np.arange(filled) < len(batch), filled / len(batch), 0))
    return np.concatenate(numbers), np.concatenate(weights).astype(np.float32)
