"""Reads shards of records into batches for training and validation.

Every record has a number, so the order of an epoch is one permutation of all of them, known before
anything is read: no record is lost or seen twice, no shuffle buffer takes memory, and a resumed run
starts in the middle of an epoch without reading what it has already seen.
"""

import math
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from mrsr_tf.errors import InputError
from mrsr_tf.records.manifest import (
    Records,
    SubjectEntry,
    TrainingManifest,
    count_echoes,
    each_set,
    read_sets,
    record_folders,
)
from mrsr_tf.records.sampling import sample_epoch, tissue_share
from mrsr_tf.records.schema import decode, dequantise, empty_record
from mrsr_tf.records.tfrecord import FRAMING_BYTES, unframed

BATCHES_AHEAD = 2


def steps_per_epoch(manifest: TrainingManifest, batch_size: int) -> int:
    """Number of batches in an epoch, including the last one, which may be smaller."""
    return math.ceil(manifest["counts"]["train"]["records"] / batch_size)


def training_batches(
    records: Records,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    expected_counts: NDArray[np.float64] | None = None,
    skip_batches: int = 0,
    replicas: int = 1,
    shards: int = 1,
    shard_index: int = 0,
) -> tf.data.Dataset:
    """One epoch: every training record once, in an order that only (seed, epoch) decides.

    Args:
        records: what `make_records` wrote: one folder, or several that are shuffled together.
        batch_size: records per batch over all replicas; the last batch may have fewer.
        seed: of the training; not negative.
        epoch: number of the epoch, from 0.
        expected_counts: how often to visit each record on average, see `sampling`; an epoch still
            has as many visits as there are records. None visits each once.
        skip_batches: how many batches to leave out at the beginning, without reading them.
        replicas: devices that share a batch, those of all workers together. Each batch is padded
            to a multiple of it with records of weight 0, and the other weights are raised so that
            the weighted mean over the batch is the mean over its own records.
        shards: workers that share each batch in equal parts; batches are padded for them too.
        shard_index: which worker's part to return.

    Returns:
        Batches of (input, target, weight): float32 (n, *patch_size, echoes) twice, in units of the
        subject's intensity scale, and (n, 1, 1, 1).

    Raises:
        InputError: the records are damaged or not of this schema, or there is no such shard.
    """
    reader = _Reader(records, "train")
    random = np.random.default_rng([seed, epoch])
    if expected_counts is None:
        numbers = np.arange(reader.records)
    else:
        numbers = sample_epoch(expected_counts, random)
    share = _BatchShare(batch_size, replicas, shards, shard_index)
    return reader.batches(random.permutation(numbers)[skip_batches * batch_size :], share)


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
    share = _BatchShare(batch_size, replicas, shards, shard_index)
    return reader.batches(np.arange(reader.records), share)


def tissue_shares(records: Records) -> NDArray[np.float64]:
    """The share of tissue in each training record's target, 0 to 1; reads all records once.

    Raises:
        InputError: a record is damaged.
    """
    reader = _Reader(records, "train")
    with ThreadPoolExecutor() as pool:
        shares = pool.map(lambda number: tissue_share(reader.record(number)), range(reader.records))
        bar = tqdm(shares, "looking for tissue", reader.records, disable=None, delay=2)
        return np.array(list(bar))


@dataclass(frozen=True)
class _BatchShare:
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

    @property
    def size(self) -> int:
        """How many records of a whole batch are this worker's."""
        return self._padded(self.batch_size) // self.shards

    def select(self, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The record numbers of this worker's parts of all batches, and the weight of each."""
        numbers, weights = [order[:0]], [np.empty(0, np.float32)]
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            padded = self._padded(len(batch))
            weight = np.where(np.arange(padded) < len(batch), padded / len(batch), 0)
            # Every shards-th record, so that the padding is spread over the workers.
            numbers.append(np.resize(batch, padded)[self.shard_index :: self.shards])
            weights.append(weight[self.shard_index :: self.shards])
        return np.concatenate(numbers), np.concatenate(weights).astype(np.float32)

    def _padded(self, records: int) -> int:
        """The size of a batch once it divides among replicas and workers."""
        multiple = math.lcm(self.replicas, self.shards)
        return math.ceil(records / multiple) * multiple


class _Reader:
    """The records of one split, by number; several sets follow one another."""

    def __init__(self, records: Records, split: str) -> None:
        manifest = read_sets(records)
        entries = [
            (folder / subject["shard"], subject)
            for folder, one_set in zip(record_folders(records), each_set(manifest), strict=True)
            for subject in one_set["subjects"]
            if subject["split"] == split
        ]
        if not entries:
            raise InputError(
                f"expected {split} records, found none in {records}: make_records "
                "--validation_subjects says how many subjects go there"
            )
        self._empty = empty_record(manifest["patch_size"], count_echoes(manifest))
        self._frame_bytes = self._empty.nbytes + FRAMING_BYTES
        self._shards = [shard for shard, _ in entries]
        self._starts = list(accumulate((subject["records"] for _, subject in entries), initial=0))
        self.records = self._starts.pop()
        for start, (shard, subject) in zip(self._starts, entries, strict=True):
            _check_size(shard, subject)
            self.record(start)

    def batches(self, order: NDArray[np.int64], share: _BatchShare) -> tf.data.Dataset:
        return (
            tf.data.Dataset.from_tensor_slices(share.select(order))
            .batch(share.size)
            # In sequence: parallel calls would only wait for one another to run Python.
            .map(self._load)
            .prefetch(BATCHES_AHEAD)
        )

    def record(self, number: int) -> np.void:
        place = bisect_right(self._starts, number) - 1
        within, shard = number - self._starts[place], self._shards[place]
        size = self._frame_bytes
        frame = np.fromfile(shard, np.uint8, size, offset=within * size)
        try:
            return decode(unframed(frame), self._empty)
        except InputError as error:
            raise InputError(f"{error}: record {within} of {shard}") from None

    def _load(self, numbers: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pair = tf.numpy_function(self._patches, [numbers], [tf.float32] * 2, stateful=False)
        shape = (None, *self._empty["input"].shape)
        inputs, targets = (tf.ensure_shape(patches, shape) for patches in pair)
        return inputs, targets, weights[:, None, None, None]

    def _patches(self, numbers: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        shape = (len(numbers), *self._empty["input"].shape)
        inputs, targets = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for place, number in enumerate(numbers.tolist()):
            dequantise(self.record(number), inputs[place], targets[place])
        return [inputs, targets]


def _check_size(path: Path, subject: SubjectEntry) -> None:
    """Raises `InputError` unless a shard has the size in the manifest."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"expected {subject['records']} records, found no file: {path}") from None
    if size != subject["bytes"]:
        raise InputError(
            f"expected {subject['records']} records of {subject['bytes']} bytes together, found "
            f"{size} bytes: {path}"
        )
