"""Batches of training and validation records, spread over the devices."""

from functools import partial

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.records import reader
from mrsr_tf.records.augmentation import augment
from mrsr_tf.records.manifest import Records
from mrsr_tf.records.sampling import expected_counts
from mrsr_tf.training import distribution
from mrsr_tf.training.config import TrainingConfig

EXAMPLES, EXAMPLE_CANDIDATES = 4, 256
# Inputs and targets of some validation patches, (n, rows, cols, slices, echoes).
Examples = tuple[NDArray[np.float32], NDArray[np.float32]]


class TrainingData:
    """The batches of each epoch, and those of the validation records, for all workers."""

    def __init__(
        self,
        config: TrainingConfig,
        records: Records,
        devices: tf.distribute.Strategy,
        steps_per_epoch: int,
    ) -> None:
        """Checks the records; reads all of them once if they are sampled by tissue.

        Raises:
            InputError: the records are not complete.
        """
        self._config, self._records, self._devices = config, records, devices
        self.epochs, self.steps_per_epoch = config.epochs, steps_per_epoch
        self.steps = config.epochs * steps_per_epoch
        self.validation = distribution.distribute(
            devices, partial(reader.validation_batches, records, config.batch_size)
        )
        self._expected_counts = None
        if config.foreground:
            self._expected_counts = expected_counts(
                reader.tissue_shares(records), config.foreground
            )

    def epoch(self, epoch: int, first_step: int) -> tf.distribute.DistributedDataset:
        """Returns the remaining batches of an epoch, from 0, after `first_step` steps in all."""
        config = self._config

        def batches(replicas: int, shards: int, shard_index: int) -> tf.data.Dataset:
            patches = reader.training_batches(
                self._records,
                config.batch_size,
                seed=config.seed,
                epoch=epoch,
                expected_counts=self._expected_counts,
                skip_batches=first_step - epoch * self.steps_per_epoch,
                replicas=replicas,
                shards=shards,
                shard_index=shard_index,
            )
            return augment(
                patches,
                flips=config.flips,
                gain=config.gain,
                seed=config.seed,
                first_step=first_step,
                batch_size=config.batch_size,
                workers=shards,
                worker=shard_index,
            )

        return distribution.distribute(self._devices, batches)

    def examples(self) -> Examples:
        """Returns those of the first validation patches that vary most."""
        batches = reader.validation_batches(self._records, self._config.batch_size)
        patches = batches.unbatch().take(EXAMPLE_CANDIDATES)
        pairs = [(inputs, targets) for inputs, targets, _ in patches]
        pairs.sort(key=lambda pair: float(tf.math.reduce_std(pair[1])), reverse=True)
        inputs, targets = zip(*pairs[:EXAMPLES], strict=True)
        return np.stack(inputs), np.stack(targets)
