"""Training: the devices, the compiled network, its epochs, and where to go on after a stop."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf import dataset, runs
from mrsr_tf.errors import InputError
from mrsr_tf.model import build_model, to_dual_contrast, weights_sha256
from mrsr_tf.watching import Watch


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the trained weights, beside the records.

    Attributes:
        convolutions: of the network; 20 in the paper.
        filters: feature maps of all convolutions but the last; 64.
        batch_size: patches per step, over all devices together; 50.
        epochs: passes over the training records; 10.
        learning_rate: of Adam; 1e-4.
        plain_repeat: in transfer, repeat the first layer's weights without halving them.
        seed: of the first weights and of the order of the patches.
    """

    convolutions: int
    filters: int
    batch_size: int
    epochs: int
    learning_rate: float
    plain_repeat: bool
    seed: int


def train(
    config: TrainingConfig,
    records: Path,
    run_dir: Path,
    *,
    init_from: Path | None = None,
    checkpoint_steps: int = 200,
    flagfile: str = "",
    overwrite: bool = False,
) -> None:
    """Trains on all visible devices, or goes on where an interrupted call stopped.

    Args:
        config: the settings.
        records: the folder that `tf_records_tools.make_records` wrote.
        run_dir: the run folder, see `mrsr_tf.runs`.
        init_from: a finished run whose weights are the first ones; a single-contrast one is
            transferred where the records are of two contrasts.
        checkpoint_steps: an interruption loses at most so many steps.
        flagfile: text kept in the run that replays it.
        overwrite: remove what `run_dir` holds.

    Raises:
        AlreadyDone: the run is finished.
        InputError: records, run folder and `init_from` do not fit together, or the loss is no
            longer finite.
    """
    manifest = dataset.read_manifest(records)
    weights = first_weights(config, manifest, init_from)
    configuration = {
        **asdict(config),
        "contrasts": manifest["contrasts"],
        "slice_factor": manifest["slice_factor"],
        "records_sha256": dataset.manifest_sha256(records),
        "first_weights_sha256": weights_sha256(weights),
    }
    strategy = visible_devices()
    validation = dataset.validation_batches(
        records, config.batch_size, replicas=strategy.num_replicas_in_sync
    )
    runs.open_run(run_dir, configuration, manifest, flagfile, overwrite=overwrite)
    with strategy.scope():
        if (run_dir / runs.CHECKPOINT).exists():
            model = runs.load_network(run_dir, checkpoint=True)
        else:
            model = build_model(
                weights[-1].size, convolutions=config.convolutions, filters=config.filters
            )
            model.set_weights(weights)
            model.compile(keras.optimizers.Adam(config.learning_rate), "mse", jit_compile=False)
        steps = config.epochs * dataset.steps_per_epoch(manifest, config.batch_size)
        watch = Watch(model, run_dir / "logs", validation, config.batch_size, steps)
    try:
        _fit(model, config, records, [watch, _Checkpoints(run_dir, checkpoint_steps)])
    except tf.errors.OpError as error:
        _, found, why = error.message.partition("InputError: ")
        if not found:
            raise
        raise InputError(why.splitlines()[0]) from error  # a reader's own, through TensorFlow
    runs.finish(model, run_dir)


def first_weights(
    config: TrainingConfig, manifest: Mapping[str, Any], init_from: Path | None
) -> list[NDArray[np.float32]]:
    """The weights that training starts from: random by the seed, or another run's.

    Raises:
        InputError: the other run's network is not the one that `config` describes.
    """
    keras.utils.set_random_seed(config.seed)
    contrasts = {"single": 1, "dual": 2}[manifest["contrasts"]]
    network = build_model(contrasts, convolutions=config.convolutions, filters=config.filters)
    if init_from is None:
        return network.get_weights()
    start = runs.load_network(init_from)
    if contrasts == 2 and start.input_shape[-1] == 1:
        start = to_dual_contrast(start, plain_repeat=config.plain_repeat)
    expected, found = ([w.shape for w in n.get_weights()] for n in (network, start))
    if expected != found:
        raise InputError(
            f"expected a network of {contrasts} contrasts, {config.convolutions} convolutions and "
            f"{config.filters} filters to start from, found one of {found[-1][0]}, "
            f"{len(found) // 2} and {found[1][0]}: {init_from}"
        )
    return start.get_weights()


def visible_devices() -> tf.distribute.MirroredStrategy:
    """One replica on every GPU, or on every logical CPU where there is no GPU."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _fit(
    model: keras.Model,
    config: TrainingConfig,
    records: Path,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    steps = dataset.steps_per_epoch(dataset.read_manifest(records), config.batch_size)
    first_epoch, skip = divmod(int(model.optimizer.iterations.numpy()), steps)
    for epoch in range(first_epoch, config.epochs):
        batches = dataset.training_batches(
            records,
            config.batch_size,
            seed=config.seed,
            epoch=epoch,
            skip_batches=skip if epoch == first_epoch else 0,
            replicas=model.distribute_strategy.num_replicas_in_sync,
        )
        model.fit(
            batches,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,  # the dataset has its own order
            verbose=0,
            callbacks=callbacks,
        )


class _Checkpoints(keras.callbacks.Callback):
    """Saves network and optimizer every so many steps and after every epoch."""

    def __init__(self, run_dir: Path, every: int) -> None:
        super().__init__()
        self._run_dir, self._every = run_dir, every

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        step = int(self.model.optimizer.iterations.numpy())
        if not np.isfinite(logs["loss"]):
            raise InputError(
                f"expected a finite loss, got {logs['loss']} at step {step}; the last good "
                f"checkpoint stays in {self._run_dir}: lower the learning rate"
            )
        if step % self._every == 0:
            runs.save_checkpoint(self.model, self._run_dir)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        runs.save_checkpoint(self.model, self._run_dir)
