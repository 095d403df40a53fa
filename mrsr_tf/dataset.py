"""Shards of records to batches for training and validation.

Every record has a number, so an epoch's order is one permutation of all of them, known before
anything is read: no record is lost or seen twice, no memory goes into a shuffle buffer, and a
resumed run starts in the middle of an epoch without reading what it had seen.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.manifest import manifest_sha256, read_manifest
from mrsr_tf.records import (
    BEFORE_RECORD_BYTES,
    FRAMING_BYTES,
    check_header,
    decode,
    frame_offsets,
    parse,
    record_dtype,
    unframed,
)

__all__ = [
    "manifest_sha256",
    "read_manifest",
    "steps_per_epoch",
    "training_batches",
    "validation_batches",
]

ECHOES = {"single": 1, "dual": 2}
BATCHES_AHEAD = 4
ALIGNMENT = 64  # bytes, TensorFlow's


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
    shards: int = 1,
    shard_index: int = 0,
) -> tf.data.Dataset:
    """One epoch: every training record once, in an order that (seed, epoch) alone decides.

    Args:
        records_dir: what `make_records` wrote.
        batch_size: records per batch over all replicas; the last batch may have fewer.
        seed: of the training; not negative.
        epoch: from 0.
        skip_batches: how many to leave out at the beginning, at no cost.
        replicas: devices that a batch is spread over, those of all workers together. Each batch
            is filled up to a multiple of it with records of weight 0, and the others' weight is
            raised so that the mean over the batch is the mean over its own records.
        shards: workers that share each batch in equal parts; batches are filled up for them too.
        shard_index: which worker's part to give.

    Returns:
        Batches of (input, truth, weight): float32 (n, *patch_size, echoes) twice, in units of the
        subject's scale, and (n, 1, 1, 1).

    Raises:
        InputError: the records are not whole, or not of this schema, or there is no such shard.
    """
    reader = _Reader(records_dir, "train")
    order = np.random.default_rng([seed, epoch]).permutation(reader.records)
    share = _Share(batch_size, replicas, shards, shard_index)
    return reader.batches(order[skip_batches * batch_size :], share)


def validation_batches(
    records_dir: str | Path,
    batch_size: int,
    *,
    replicas: int = 1,
    shards: int = 1,
    shard_index: int = 0,
) -> tf.data.Dataset:
    """Every validation record once, always in the same order.

    Arguments, result and errors are those of `training_batches`.
    """
    reader = _Reader(records_dir, "validation")
    return reader.batches(
        np.arange(reader.records), _Share(batch_size, replicas, shards, shard_index)
    )


@dataclass(frozen=True)
class _Share:
    """One worker's equal part of each batch."""

    batch_size: int
    replicas: int
    shards: int
    shard_index: int

    def __post_init__(self) -> None:
        if not 0 <= self.shard_index < self.shards:
            raise InputError(
                f"expected a shard_index from 0 to {self.shards - 1}, got {self.shard_index}"
            )

    def filled(self, records: int) -> int:
        """How many records a batch of so many has once it divides among replicas and workers."""
        multiple = math.lcm(self.replicas, self.shards)
        return math.ceil(records / multiple) * multiple

    def of(self, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """This worker's part of all batches: numbers of records, and the weight of each."""
        numbers, weights = [order[:0]], [np.empty(0, np.float32)]
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            filled = self.filled(len(batch))
            weight = np.where(np.arange(filled) < len(batch), filled / len(batch), 0)
            # Every shards-th, so that what fills up the batch is spread over the workers.
            numbers.append(np.resize(batch, filled)[self.shard_index :: self.shards])
            weights.append(weight[self.shard_index :: self.shards])
        return np.concatenate(numbers), np.concatenate(weights).astype(np.float32)


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
        self._record_type = record_dtype(manifest["patch_size"], ECHOES[manifest["contrasts"]])
        self._shards = [Path(records_dir) / subject["shard"] for subject in subjects]
        self._starts = list(accumulate((s["records"] for s in subjects), initial=0))
        self.records = self._starts.pop()
        for shard, subject in zip(self._shards, subjects, strict=True):
            check_shard(shard, subject, self._record_type)
        self._offsets = [
            self._frame_offsets(*of_shard, manifest["compression"])
            for of_shard in zip(self._shards, subjects, strict=True)
        ]

    def _frame_offsets(
        self, shard: Path, subject: Mapping[str, Any], compression: str
    ) -> NDArray[np.int64]:
        if compression == "none":
            return np.arange(subject["records"] + 1) * (self._record_type.itemsize + FRAMING_BYTES)
        offsets = frame_offsets(shard)
        if len(offsets) != subject["records"] + 1:
            raise InputError(
                f"expected {subject['records']} records, found {len(offsets) - 1}: {shard}"
            )
        return offsets

    def batches(self, order: NDArray[np.int64], share: _Share) -> tf.data.Dataset:
        return (
            tf.data.Dataset.from_tensor_slices(share.of(order))
            .batch(share.filled(share.batch_size) // share.shards)
            .map(self._load, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(BATCHES_AHEAD)
        )

    def _load(self, numbers: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pair = tf.numpy_function(self._pairs, [numbers], [tf.float32] * 2, stateful=False)
        shape = (None, *self._record_type["input"].shape)
        given, truth = (tf.ensure_shape(patches, shape) for patches in pair)
        return given, truth, weights[:, None, None, None]

    def _pairs(self, numbers: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        shape = (len(numbers), *self._record_type["input"].shape)
        given, truth = _aligned(shape), _aligned(shape)
        for place, number in enumerate(numbers.tolist()):
            parse(self._record(number), given[place], truth[place])
        return [given, truth]

    def _record(self, number: int) -> np.void:
        place = bisect_right(self._starts, number) - 1
        within = number - self._starts[place]
        start, end = self._offsets[place][within : within + 2].tolist()
        frame = np.empty(end - start, np.uint8)
        with self._shards[place].open("rb", buffering=0) as shard:
            shard.seek(start)
            read = shard.readinto(frame)
        try:
            return decode(unframed(frame[:read]), self._record_type)
        except InputError as error:
            raise InputError(f"{error}: record {within} of {self._shards[place]}") from None


def _aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array that TensorFlow takes as it is: copying others cost as much as reading them."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)


def check_shard(path: Path, subject: Mapping[str, Any], record: np.dtype) -> None:
    """Raises `InputError` unless a shard has its size and begins with a record of this schema."""
    try:
        with path.open("rb") as shard:
            beginning, size = shard.read(record.itemsize), path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"expected {subject['records']} records, found no file: {path}") from None
    try:
        check_header(beginning[BEFORE_RECORD_BYTES:], record)
    except InputError as error:
        raise InputError(f"{error}: record 0 of {path}") from None
    if size != subject["bytes"]:
        raise InputError(
            f"expected {subject['records']} records of {subject['bytes']} bytes together, found "
            f"{size} bytes: {path}"
        )
