"""The training loop: starts a training or resumes an interrupted one, on whatever devices exist."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.architecture import architecture_of
from mrsr_tf.network.model_card import weights_sha256
from mrsr_tf.records import reader
from mrsr_tf.records.manifest import (
    Records,
    TrainingManifest,
    count_echoes,
    read_sets,
    slice_factors,
)
from mrsr_tf.training import distribution
from mrsr_tf.training.checkpoints import CheckpointSaver
from mrsr_tf.training.config import Strategy, TrainingConfig, check_settings
from mrsr_tf.training.data import TrainingData
from mrsr_tf.training.initialization import initial_network, load_or_create_network
from mrsr_tf.training.losses import make_loss
from mrsr_tf.training.monitor import TrainingMonitor
from mrsr_tf.training.step import TrainingStep, averaged_weights, steps_taken
from mrsr_tf.training.t2_probe import read_t2_probe
from mrsr_tf.training.validation import Validator


def train(
    config: TrainingConfig,
    records: Records,
    run_dir: Path,
    *,
    init_from: str | Path | None = None,
    checkpoint_steps: int = 200,
    flagfile: str = "",
    overwrite: bool = False,
    strategy: Strategy = Strategy.AUTO,
    deterministic: bool = False,
    t2_probe: Path | None = None,
) -> None:
    """Trains a network, or resumes where an interrupted call stopped.

    Args:
        config: the settings.
        records: the folder that `tf_records_tools.make_records` wrote, or several, for example of
            several slice factors.
        run_dir: the run folder, see `mrsr_tf.network.run_folder`; all workers share one.
        init_from: what `load_model` loads, to start from its network: a finished run, an export,
            or the name of networks that come with the package. It is measured before the first
            step. A single-contrast network is transferred if the records are of two contrasts.
        checkpoint_steps: number of steps between checkpoints.
        flagfile: flags that replay the training, kept in the run folder.
        overwrite: whether to remove the run folder and start again.
        strategy: the devices.
        deterministic: whether every operation gives bitwise the same result each time.
        t2_probe: folder of a phantom subject whose T2 is measured after each epoch.

    Raises:
        AlreadyDone: the run is finished.
        InputError: records, run folder, `init_from` and settings do not match, the loss is no
            longer finite, or another worker is lost.
    """
    manifest = read_sets(records)
    check_settings(config, manifest, init_from, t2_probe)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = distribution.make_strategy(strategy)
    start = initial_network(config, count_echoes(manifest), init_from)
    configuration = _configuration(config, manifest, start)
    probe = read_t2_probe(t2_probe, manifest["slice_factor"]) if t2_probe else None
    with _input_errors():
        steps_per_epoch = reader.steps_per_epoch(manifest, config.batch_size)
        data = TrainingData(config, records, devices, steps_per_epoch)
        with _opened(devices, run_dir, configuration, manifest, flagfile, overwrite=overwrite):
            with devices.scope():
                model = load_or_create_network(config, start, data.steps, run_dir)
            distribution.check_same_step(devices, steps_taken(model))
            chief_dir = run_dir if distribution.is_chief(devices) else None
            loss = make_loss(config.loss, config.t2_weight)
            chief_probe = probe if chief_dir else None
            validator = Validator(model, devices, data.validation, loss, chief_probe)
            monitor = TrainingMonitor(
                model,
                chief_dir / run_folder.LOGS if chief_dir else None,
                data.examples(),
                validator.measure_tci(),
                configuration=configuration,
                batch_size=config.batch_size,
                steps_per_epoch=steps_per_epoch,
                steps=data.steps,
                probe=chief_probe,
            )
            saver = CheckpointSaver(model, chief_dir, checkpoint_steps, config.best_by)
            if init_from and steps_taken(model) == 0:
                measure_start(validator, monitor, saver)
            fit(model, TrainingStep(devices, model, loss), data, validator, monitor, saver)
            distribution.check_same_step(devices, steps_taken(model))
            if chief_dir:
                with averaged_weights(model):
                    run_folder.finish(model, chief_dir)


def measure_start(validator: Validator, monitor: TrainingMonitor, saver: CheckpointSaver) -> None:
    """Measures the network that training starts from, so that the best is never behind it."""
    quality = validator.measure()
    monitor.log_start(quality)
    saver.save_if_best(0, quality)


def fit(
    model: keras.Model,
    training_step: TrainingStep,
    data: TrainingData,
    validator: Validator,
    monitor: TrainingMonitor,
    saver: CheckpointSaver,
) -> None:
    """Trains from the step at which the optimizer stands to the end of the last epoch."""

    def save_checkpoint() -> None:
        monitor.flush()  # so that the logs never lag behind the checkpoint
        saver.save_checkpoint()

    for epoch in range(steps_taken(model) // data.steps_per_epoch, data.epochs):
        monitor.start_epoch()
        losses = []
        for batch in data.epoch(epoch, steps_taken(model)):
            losses.append(training_step(batch))
            monitor.log_step(losses[-1])
            is_last = steps_taken(model) % data.steps_per_epoch == 0
            if saver.is_due(losses[-1]) and not is_last:
                save_checkpoint()
        with averaged_weights(model):
            quality = validator.measure()
            monitor.log_epoch(epoch + 1, float(np.mean(losses)), quality)
            saver.save_if_best(epoch + 1, quality)
        save_checkpoint()
    monitor.close()


def _configuration(
    config: TrainingConfig, manifest: TrainingManifest, start: keras.Model
) -> dict[str, Any]:
    """Returns everything that decides the trained weights, for the run folder."""
    architecture = architecture_of(start)
    del architecture["echoes"]  # the contrasts say how many
    return {
        **config.to_json(architecture),
        "contrasts": manifest["contrasts"],
        "slice_factors": slice_factors(manifest),
        "records_sha256": manifest["sha256"],
        "first_weights_sha256": weights_sha256(start.get_weights()),
    }


@contextmanager
def _opened(
    devices: tf.distribute.Strategy,
    run_dir: Path,
    configuration: Mapping[str, Any],
    manifest: Mapping[str, Any],
    flagfile: str,
    *,
    overwrite: bool,
) -> Iterator[None]:
    """The chief creates or opens the run folder and locks it; the others wait until it exists."""
    with ExitStack() as chief_only:
        if distribution.is_chief(devices):
            run = run_folder.open_run(
                run_dir, configuration, manifest, flagfile, overwrite=overwrite
            )
            chief_only.enter_context(run)
        elif not overwrite:
            run_folder.check_run(run_dir, configuration)
        distribution.check_same_step(devices, 0)
        yield


@contextmanager
def _input_errors() -> Iterator[None]:
    """Raises `InputError` where TensorFlow reports a lost worker or an error of the reader."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise InputError(
            "expected all workers to keep running, lost one of them or its connection; the same "
            "call on all of them resumes from the last checkpoint"
        ) from error
    except tf.errors.OpError as error:
        _, is_input_error, message = error.message.partition("InputError: ")
        if not is_input_error:
            raise
        raise InputError(message.splitlines()[0]) from error
