"""Training: one call that starts it, or goes on where it stopped, on whatever devices there are."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.model_card import weights_sha256
from mrsr_tf.records import reader
from mrsr_tf.records.manifest import CHECKSUM
from mrsr_tf.records.record_sets import Records, read_sets, slice_factors
from mrsr_tf.training import distribution, monitor
from mrsr_tf.training.checkpoints import Keep
from mrsr_tf.training.config import ECHOES, TrainingConfig, check_settings
from mrsr_tf.training.epochs import TrainingBatches, fit
from mrsr_tf.training.initialization import first_weights, start_network
from mrsr_tf.training.losses import make_loss
from mrsr_tf.training.step import averaged_weights, steps_taken
from mrsr_tf.training.t2_probe import read_known_subject
from mrsr_tf.training.validation import Quality


def train(
    config: TrainingConfig,
    records: Records,
    run_dir: Path,
    *,
    init_from: Path | None = None,
    checkpoint_steps: int = 200,
    flagfile: str = "",
    overwrite: bool = False,
    strategy: str = "auto",
    deterministic: bool = False,
    watch_subject: Path | None = None,
    profile_steps: tuple[int, int] | None = None,
) -> None:
    """Trains, or goes on where an interrupted call stopped.

    Args:
        config: the settings.
        records: the folder that `tf_records_tools.make_records` wrote, or several, as of several
            slice factors.
        run_dir: the run folder, see `mrsr_tf.network.run_folder`; one that all workers share.
        init_from: a finished run whose weights are the first ones; a single-contrast one is
            transferred where the records are of two contrasts.
        checkpoint_steps: an interruption loses at most so many steps.
        flagfile: text kept in the run that replays it.
        overwrite: remove what `run_dir` holds.
        strategy: see `strategies.make_strategy`.
        deterministic: the same weights to the last bit every time on the same devices.
        watch_subject: a phantom's folder, to measure T2 on after each epoch.
        profile_steps: first and last step to profile for TensorBoard.

    Raises:
        AlreadyDone: the run is finished.
        InputError: records, run folder, `init_from` and settings do not fit together, the loss is
            no longer finite, or another worker is lost.
    """
    manifest = read_sets(records)
    check_settings(config, manifest, init_from, watch_subject)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = distribution.make_strategy(strategy)
    weights = first_weights(config, manifest, init_from)
    configuration = _configuration(config, manifest, weights)
    known = read_known_subject(watch_subject, manifest["slice_factor"]) if watch_subject else None
    contrasts = ECHOES[manifest["contrasts"]]
    steps = reader.steps_per_epoch(manifest, config.batch_size)
    with _plain_errors():
        quality = _quality(config, records, contrasts, devices)
        batches = TrainingBatches(config, records, devices)
        with _opened(devices, run_dir, configuration, manifest, flagfile, overwrite=overwrite):
            with devices.scope():
                model = start_network(config, contrasts, weights, config.epochs * steps, run_dir)
            distribution.agree(devices, steps_taken(model))
            own_dir = run_dir if distribution.is_chief(devices) else None
            watch = monitor.Watch(
                _logs(own_dir, steps_taken(model)),
                quality,
                monitor.examples(reader.validation_batches(records, config.batch_size)),
                batch_size=config.batch_size,
                steps_per_epoch=steps,
                steps=config.epochs * steps,
                known=known,
                profile_steps=profile_steps,
            )
            if steps_taken(model) == 0:
                watch.describe(configuration)
            keep = Keep(own_dir, checkpoint_steps, steps, config.best_by, watch)
            fit(model, config, batches, devices, steps, watch, keep)
            distribution.agree(devices, steps_taken(model))
            if own_dir:
                with averaged_weights(model):
                    run_folder.finish(model, own_dir)


def _configuration(
    config: TrainingConfig, manifest: Mapping[str, Any], weights: list[NDArray[np.float32]]
) -> dict[str, Any]:
    """All that decides the trained weights, as the run folder keeps it."""
    return {
        **asdict(config),
        "space_to_depth": "x".join(map(str, config.space_to_depth)),
        "contrasts": manifest["contrasts"],
        "slice_factors": slice_factors(manifest),
        "records_sha256": manifest[CHECKSUM],
        "first_weights_sha256": weights_sha256(weights),
    }


def _logs(run_dir: Path | None, step: int) -> Path | None:
    """The folder for TensorBoard, without what an interrupted run logged beyond a step."""
    if run_dir is None:
        return None
    monitor.drop_events_after(run_dir / "logs", step)
    return run_dir / "logs"


def _quality(
    config: TrainingConfig, records: Records, contrasts: int, devices: tf.distribute.Strategy
) -> Quality:
    def batches(replicas: int, workers: int, worker: int) -> tf.data.Dataset:
        return reader.validation_batches(
            records, config.batch_size, replicas=replicas, shards=workers, shard_index=worker
        )

    loss = make_loss(config.loss, config.t2_weight)
    return Quality(devices, distribution.distribute(devices, batches), contrasts, loss)


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
    """The chief makes or finds the run folder and holds it; the others wait until it stands."""
    with ExitStack() as chiefs:
        if distribution.is_chief(devices):
            opened = run_folder.open_run(
                run_dir, configuration, manifest, flagfile, overwrite=overwrite
            )
            chiefs.enter_context(opened)
        elif not overwrite:
            run_folder.check_run(run_dir, configuration)
        distribution.agree(devices, 0)
        yield


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What TensorFlow raises of a reader's own words, or of a lost worker, as `InputError`."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise InputError(
            "expected all workers to go on, lost one of them or its connection; the same call on "
            "all of them goes on from the last checkpoint"
        ) from error
    except tf.errors.OpError as error:
        _, found, why = error.message.partition("InputError: ")
        if not found:
            raise
        raise InputError(why.splitlines()[0]) from error
