"""Shards of records to batches for training and validation.

Every record has a number, so an epoch's order is one permutation of all of them, known before
anything is read: no record is lost or seen twice, no memory goes into a shuffle buffer, and a
resumed run starts in the middle of an epoch without reading what it had seen.
"""

import math
import os
import weakref
from bisect import bisect_right
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.records.manifest import manifest_sha256, read_manifest
from mrsr_tf.records.record_sets import Records, each_set, folders, read_sets
from mrsr_tf.records.sampling import drawn, tissue_share
from mrsr_tf.records.schema import (
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
    "tissue_shares",
    "training_batches",
    "validation_batches",
]

ECHOES = {"single": 1, "dual": 2}
BATCHES_AHEAD = 2
ALIGNMENT = 64  # bytes, TensorFlow's


def steps_per_epoch(manifest: Mapping[str, Any], batch_size: int) -> int:
    """Batches in an epoch, the last one, which may be smaller, included."""
    return math.ceil(manifest["counts"]["train"]["records"] / batch_size)


def training_batches(
    records: Records,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    draws: NDArray[np.float64] | None = None,
    skip_batches: int = 0,
    replicas: int = 1,
    shards: int = 1,
    shard_index: int = 0,
) -> tf.data.Dataset:
    """One epoch: every training record once, in an order that (seed, epoch) alone decides.

    Args:
        records: what `make_records` wrote: one folder, or several that are shuffled together.
        batch_size: records per batch over all replicas; the last batch may have fewer.
        seed: of the training; not negative.
        epoch: from 0.
        draws: how often to draw each record on average, see `sampling`; an epoch is still of as
            many draws as there are records. None draws each once.
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
    reader = _Reader(records, "train")
    chance = np.random.default_rng([seed, epoch])
    numbers = np.arange(reader.records) if draws is None else drawn(draws, chance)
    share = _Share(batch_size, replicas, shards, shard_index)
    return reader.batches(chance.permutation(numbers)[skip_batches * batch_size :], share)


def validation_batches(
    records: Records,
    batch_size: int,
    *,
    replicas: int = 1,
    shards: int = 1,
    shard_index: int = 0,
) -> tf.data.Dataset:
    """Every validation record once, always in the same order.

    Arguments, result and errors are those of `training_batches`.
    """
    reader = _Reader(records, "validation")
    return reader.batches(
        np.arange(reader.records), _Share(batch_size, replicas, shards, shard_index)
    )


def tissue_shares(records: Records) -> NDArray[np.float64]:
    """Which share of each training record's truth is tissue; reads all of them once.

    Raises:
        InputError: a record is not whole.
    """
    reader = _Reader(records, "train")
    with ThreadPoolExecutor() as pool:
        shares = pool.map(lambda number: tissue_share(reader.record(number)), range(reader.records))
        bar = tqdm(shares, "looking for tissue", reader.records, disable=None, delay=2)
        return np.array(list(bar))


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
    """The records of one split, by number; several sets follow one another."""

    def __init__(self, records: Records, split: str) -> None:
        manifest = read_sets(records)
        found = [
            (folder / subject["shard"], subject, one["compression"])
            for folder, one in zip(folders(records), each_set(manifest), strict=True)
            for subject in one["subjects"]
            if subject["split"] == split
        ]
        if not found:
            raise InputError(
                f"expected {split} records, found none in {records}: make_records "
                "--validation_subjects says how many subjects go there"
            )
        self._record_type = record_dtype(manifest["patch_size"], ECHOES[manifest["contrasts"]])
        self._shards = [shard for shard, _, _ in found]
        self._starts = list(accumulate((subject["records"] for _, subject, _ in found), initial=0))
        self.records = self._starts.pop()
        for shard, subject, _ in found:
            check_shard(shard, subject, self._record_type)
        self._offsets = [self._frame_offsets(*of_shard) for of_shard in found]

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
            # In sequence: batches made at once only wait for one another to run Python.
            .map(self._load)
            .prefetch(BATCHES_AHEAD)
        )

    def _load(self, numbers: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pair = tf.numpy_function(self._pairs, [numbers], [tf.float32] * 2, stateful=False)
        shape = (None, *self._record_type["input"].shape)
        given, truth = (tf.ensure_shape(patches, shape) for patches in pair)
        return given, truth, weights[:, None, None, None]

    def _pairs(self, numbers: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        shape = (len(numbers), *self._record_type["input"].shape)
        given, truth = MEMORY.array(shape), MEMORY.array(shape)
        for place, number in enumerate(numbers.tolist()):
            parse(self.record(number), given[place], truth[place])
        return [given, truth]

    def record(self, number: int) -> np.void:
        place = bisect_right(self._starts, number) - 1
        within = number - self._starts[place]
        start, end = self._offsets[place][within : within + 2].tolist()
        frame = np.empty(end - start, np.uint8)
        shard = os.open(self._shards[place], os.O_RDONLY)  # half the price of a file object
        try:
            read = os.preadv(shard, [frame.data], start)
        finally:
            os.close(shard)
        try:
            return decode(unframed(frame[:read]), self._record_type)
        except InputError as error:
            raise InputError(f"{error}: record {within} of {self._shards[place]}") from None


class _Memory:
    """Memory of batches, used again once TensorFlow lets go of it.

    Fresh pages for each batch cost more than reading it; so did copies, which TensorFlow makes of
    arrays that are not aligned as its own.
    """

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []

    def array(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array whose memory is free again when the array itself (not a view of it) dies."""
        size = 4 * math.prod(shape)
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(0, np.uint8)
        if memory.size < size + ALIGNMENT:
            memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        array = memory[start : start + size].view(np.float32).reshape(shape)
        weakref.finalize(array, self._free.append, memory)
        return array


MEMORY = _Memory()  # of all readers: each epoch has its own, after the other


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
