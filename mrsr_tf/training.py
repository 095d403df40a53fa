"""Training: the devices, the network and its optimizer, the epochs, and where to go on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf import dataset, runs, strategies, watching
from mrsr_tf.augmentation import augment
from mrsr_tf.errors import InputError
from mrsr_tf.keeping import Keep
from mrsr_tf.known_subject import read_known_subject
from mrsr_tf.losses import make_loss
from mrsr_tf.model import (
    UNFOLDED,
    Fold,
    build_model,
    convolution_layers,
    fold_of,
    to_dual_contrast,
    weights_sha256,
)
from mrsr_tf.optimization import PRECISIONS, Step, averaged_weights, make_optimizer
from mrsr_tf.quality import Quality

ECHOES = {"single": 1, "dual": 2}


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the trained weights, beside the records. The defaults are the paper's.

    Attributes:
        convolutions: of the network; 20 in the paper.
        filters: feature maps of all convolutions but the last; 64.
        fold: rows, columns and slices of voxels in one cell of the network's grid; 1 x 1 x 1.
        batch_size: patches per step, over all devices together; 50.
        epochs: passes over the training records; 10.
        learning_rate: of Adam; 1e-4.
        plain_repeat: in transfer, repeat the first layer's weights without halving them.
        seed: of the first weights and of the order of the patches.
        loss: of `losses.LOSSES`.
        t2_weight: how much of `losses.t2` to add.
        schedule: of the learning rate: "constant", or "cosine" to 0.
        warmup_steps: over which the learning rate rises.
        ema: momentum of the moving average of the weights, which then are the trained ones.
        flips: mirror patches within the slice.
        gain: brighten and darken patches by up to this fraction.
        frozen: convolutions after the first that keep the weights they were given.
        precision: of the convolutions: "float32", "bfloat16" or "float16".
        xla: compile the step by XLA.
        best_by: what chooses the best epoch, of `keeping.BEST_BY`.
    """

    convolutions: int
    filters: int
    batch_size: int
    epochs: int
    learning_rate: float
    plain_repeat: bool
    seed: int
    fold: Fold = UNFOLDED
    loss: str = "l2"
    t2_weight: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    ema: float = 0.0
    flips: bool = False
    gain: float = 0.0
    frozen: int = 0
    precision: str = "float32"
    xla: bool = False
    best_by: str = "psnr"


def train(
    config: TrainingConfig,
    records: Path,
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
        records: the folder that `tf_records_tools.make_records` wrote.
        run_dir: the run folder, see `mrsr_tf.runs`; one that all workers share.
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
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = strategies.make_strategy(strategy)
    manifest = dataset.read_manifest(records)
    _check(config, manifest, init_from, watch_subject)
    weights = first_weights(config, manifest, init_from)
    configuration = {
        **asdict(config),
        "fold": "x".join(map(str, config.fold)),
        "contrasts": manifest["contrasts"],
        "slice_factor": manifest["slice_factor"],
        "records_sha256": dataset.manifest_sha256(records),
        "first_weights_sha256": weights_sha256(weights),
    }
    known = read_known_subject(watch_subject, manifest["slice_factor"]) if watch_subject else None
    with _plain_errors():
        quality = _quality(config, records, devices)
        _open(devices, run_dir, configuration, manifest, flagfile, overwrite=overwrite)
        steps = dataset.steps_per_epoch(manifest, config.batch_size)
        with devices.scope():
            model = _network(
                config, ECHOES[manifest["contrasts"]], weights, config.epochs * steps, run_dir
            )
        strategies.agree(devices, _step(model))
        logs = run_dir / "logs" if strategies.is_chief(devices) else None
        if logs:
            watching.drop_events_after(logs, _step(model))
        watch = watching.Watch(
            logs,
            quality,
            watching.examples(dataset.validation_batches(records, config.batch_size)),
            batch_size=config.batch_size,
            steps_per_epoch=steps,
            steps=config.epochs * steps,
            known=known,
            profile_steps=profile_steps,
        )
        if _step(model) == 0:
            watch.describe(configuration)
        keep = Keep(run_dir if logs else None, checkpoint_steps, steps, config.best_by, watch)
        _fit(model, config, records, devices, watch, keep)
        strategies.agree(devices, _step(model))
        if logs:
            with averaged_weights(model):
                runs.finish(model, run_dir)


def first_weights(
    config: TrainingConfig, manifest: Mapping[str, Any], init_from: Path | None
) -> list[NDArray[np.float32]]:
    """The weights that training starts from: random by the seed, or another run's.

    Raises:
        InputError: the other run's network is not the one that `config` describes.
    """
    keras.utils.set_random_seed(config.seed)
    contrasts = ECHOES[manifest["contrasts"]]
    network = _build(config, contrasts)
    if init_from is None:
        return network.get_weights()
    start = runs.load_network(init_from)
    if contrasts == 2 and start.input_shape[-1] == 1:
        start = to_dual_contrast(start, plain_repeat=config.plain_repeat)
    expected, found = (_shape(n) for n in (network, start))
    if expected != found:
        raise InputError(f"expected to start from a {expected}, found a {found}: {init_from}")
    return start.get_weights()


def _build(config: TrainingConfig, contrasts: int) -> keras.Model:
    return build_model(
        contrasts, convolutions=config.convolutions, filters=config.filters, fold=config.fold
    )


def _shape(network: keras.Model) -> str:
    convolutions = convolution_layers(network)
    return (
        f"network of {network.input_shape[-1]} contrasts, {len(convolutions)} convolutions, "
        f"{convolutions[0].filters} filters and a fold of {fold_of(network)}"
    )


def _check(
    config: TrainingConfig,
    manifest: Mapping[str, Any],
    init_from: Path | None,
    watch_subject: Path | None,
) -> None:
    """Raises `InputError` for settings that cannot go together, before anything is made."""
    needs = [
        (
            config.t2_weight,
            manifest["contrasts"] == "dual",
            "t2_weight",
            "records of two contrasts",
        ),
        (
            watch_subject,
            manifest["contrasts"] == "dual",
            "watch_subject",
            "records of two contrasts",
        ),
        (config.frozen, init_from, "frozen", "init_from: random weights must not stay"),
        (config.best_by == "t2", watch_subject, "best_by=t2", "watch_subject"),
    ]
    for asked, there, name, needed in needs:
        if asked and not there:
            raise InputError(f"expected with --{name} also {needed}")
    if config.frozen > config.convolutions - 2:
        raise InputError(
            f"expected at most {config.convolutions - 2} convolutions between the first and the "
            f"last to freeze, got {config.frozen}"
        )


def _quality(config: TrainingConfig, records: Path, devices: tf.distribute.Strategy) -> Quality:
    def batches(replicas: int, workers: int, worker: int) -> tf.data.Dataset:
        return dataset.validation_batches(
            records, config.batch_size, replicas=replicas, shards=workers, shard_index=worker
        )

    contrasts = ECHOES[dataset.read_manifest(records)["contrasts"]]
    loss = make_loss(config.loss, config.t2_weight)
    return Quality(devices, strategies.distribute(devices, batches), contrasts, loss)


def _open(
    devices: tf.distribute.Strategy,
    run_dir: Path,
    configuration: Mapping[str, Any],
    manifest: Mapping[str, Any],
    flagfile: str,
    *,
    overwrite: bool,
) -> None:
    """The chief makes or finds the run folder; the others wait until it stands."""
    if strategies.is_chief(devices):
        runs.open_run(run_dir, configuration, manifest, flagfile, overwrite=overwrite)
    elif not overwrite:
        runs.check_run(run_dir, configuration)
    strategies.agree(devices, 0)


def _network(
    config: TrainingConfig,
    contrasts: int,
    weights: list[NDArray[np.float32]],
    steps: int,
    run_dir: Path,
) -> keras.Model:
    """The network and its optimizer, new or as the last checkpoint has them."""
    if (run_dir / runs.CHECKPOINT).exists():
        return runs.load_network(run_dir, checkpoint=True)
    with _policy(PRECISIONS[config.precision]):
        model = _build(config, contrasts)
    model.set_weights(weights)
    for layer in convolution_layers(model)[1 : 1 + config.frozen]:
        layer.trainable = False
    optimizer = make_optimizer(
        config.learning_rate,
        steps,
        schedule=config.schedule,
        warmup_steps=config.warmup_steps,
        ema=config.ema,
        precision=config.precision,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, jit_compile=False)  # so that it is saved with its optimizer
    return model


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _fit(
    model: keras.Model,
    config: TrainingConfig,
    records: Path,
    devices: tf.distribute.Strategy,
    watch: watching.Watch,
    keep: Keep,
) -> None:
    steps = dataset.steps_per_epoch(dataset.read_manifest(records), config.batch_size)
    step = Step(devices, model, make_loss(config.loss, config.t2_weight), xla=config.xla)
    told = keras.callbacks.CallbackList([watch, keep], model=model)
    told.on_train_begin()
    for epoch in range(_step(model) // steps, config.epochs):
        told.on_epoch_begin(epoch)
        losses = []
        for batch in _batches(config, records, devices, epoch, _step(model)):
            losses.append(step(batch))
            told.on_train_batch_end(len(losses), {"loss": losses[-1]})
        with averaged_weights(model):
            told.on_epoch_end(epoch, {"loss": float(np.mean(losses))})
        keep.save()
    told.on_train_end()


def _batches(
    config: TrainingConfig,
    records: Path,
    devices: tf.distribute.Strategy,
    epoch: int,
    first_step: int,
) -> tf.distribute.DistributedDataset:
    """What is left of an epoch from a step of the whole training on."""
    steps = dataset.steps_per_epoch(dataset.read_manifest(records), config.batch_size)

    def batches(replicas: int, workers: int, worker: int) -> tf.data.Dataset:
        own = dataset.training_batches(
            records,
            config.batch_size,
            seed=config.seed,
            epoch=epoch,
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

    return strategies.distribute(devices, batches)


def _step(model: keras.Model) -> int:
    return int(model.optimizer.iterations.numpy())


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
