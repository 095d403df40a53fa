"""The epochs of a training: its batches, step by step, and whom each step is told."""

import keras
import numpy as np
import tensorflow as tf

from mrsr_tf.records import reader
from mrsr_tf.records.augmentation import augment
from mrsr_tf.records.record_sets import Records
from mrsr_tf.records.sampling import draws_by_tissue
from mrsr_tf.training import distribution
from mrsr_tf.training.checkpoints import Keep
from mrsr_tf.training.config import TrainingConfig
from mrsr_tf.training.losses import make_loss
from mrsr_tf.training.monitor import Watch
from mrsr_tf.training.step import Step, averaged_weights, steps_taken


class TrainingBatches:
    """The batches of each epoch, of all workers."""

    def __init__(
        self, config: TrainingConfig, records: Records, devices: tf.distribute.Strategy
    ) -> None:
        """Readies them; reads all records once where they are drawn by tissue.

        Args:
            config: the settings.
            records: one set or several.
            devices: to spread the batches over.

        Raises:
            InputError: the records are not whole.
        """
        self._config, self._records, self._devices = config, records, devices
        self._draws = None
        if config.foreground:
            shares = reader.tissue_shares(records)
            self._draws = draws_by_tissue(shares, config.foreground)

    def of_epoch(self, epoch: int, steps: int, first_step: int) -> tf.distribute.DistributedDataset:
        """What is left of an epoch.

        Args:
            epoch: from 0.
            steps: in an epoch.
            first_step: of the whole training, to go on from.
        """
        config = self._config

        def batches(replicas: int, workers: int, worker: int) -> tf.data.Dataset:
            own = reader.training_batches(
                self._records,
                config.batch_size,
                seed=config.seed,
                epoch=epoch,
                draws=self._draws,
                skip_batches=first_step - epoch * steps,
                replicas=replicas,
                shards=workers,
                shard_index=worker,
            )
            return augment(
                own,
                flips=config.flips,
                gain=config.gain,
                seed=config.seed,
                first_step=first_step,
                batch_size=config.batch_size,
                workers=workers,
                worker=worker,
            )

        return distribution.distribute(self._devices, batches)


def fit(
    model: keras.Model,
    config: TrainingConfig,
    batches: TrainingBatches,
    devices: tf.distribute.Strategy,
    steps: int,
    watch: Watch,
    keep: Keep,
) -> None:
    """Trains from the step that the optimizer stands at to the last epoch's end.

    Args:
        model: compiled with its optimizer.
        config: the settings.
        batches: of the training records.
        devices: those of `model` and `batches`.
        steps: in an epoch.
        watch: told of each step, and of each epoch with the averaged weights.
        keep: told likewise, after `watch`.
    """
    step = Step(devices, model, make_loss(config.loss, config.t2_weight), xla=config.xla)
    told = keras.callbacks.CallbackList([watch, keep], model=model)
    told.on_train_begin()
    for epoch in range(steps_taken(model) // steps, config.epochs):
        told.on_epoch_begin(epoch)
        losses = []
        for batch in batches.of_epoch(epoch, steps, steps_taken(model)):
            losses.append(step(batch))
            told.on_train_batch_end(len(losses), {"loss": losses[-1]})
        with averaged_weights(model):
            told.on_epoch_end(epoch, {"loss": float(np.mean(losses))})
        keep.save()
    told.on_train_end()
