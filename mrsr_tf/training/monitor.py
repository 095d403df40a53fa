"""What a training shows while it runs: TensorBoard's curves and images, and the console.

Every measure is taken of the network and of its input, the tricubic interpolation (TCI), to show
what the network adds.
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from numpy.typing import NDArray
from tensorboard.plugins.hparams import api as hyperparameters
from tqdm import tqdm

from mrsr_tf.network.run_folder import EVENTS
from mrsr_tf.training.data import Examples
from mrsr_tf.training.step import steps_taken
from mrsr_tf.training.t2_probe import T2Probe
from mrsr_tf.training.tensorboard_images import write_patches, write_t2_maps
from mrsr_tf.training.validation import HIGHER_IS_BETTER, Quality, psnr_db

PAPER_EPOCH = timedelta(hours=3)  # 168,750 patches on four GTX 1080 Ti
# The first epoch may take hours: the gain is logged at steps 25, 50, 100, 200, ... of it.
FIRST_LOGGED_STEP = 25
# A residual that varies by less is the bias of the last layer and float32's rounding.
CONSTANT = 1e-6


class TrainingMonitor:
    """Logs the loss of each step, the quality of each epoch, and early signs of both."""

    def __init__(
        self,
        model: keras.Model,
        log_dir: Path | None,
        examples: Examples,
        tci: Quality,
        *,
        configuration: Mapping[str, Any],
        batch_size: int,
        steps_per_epoch: int,
        steps: int,
        probe: T2Probe | None = None,
    ) -> None:
        """Opens the log and the progress bar, at the step that a resumed run continues from.

        Args:
            model: the network in training.
            log_dir: folder for TensorBoard; None shows nothing, for workers other than the chief.
            examples: the validation patches to show.
            tci: quality of the interpolation.
            configuration: the hyperparameters to log.
            batch_size: patches per step.
            steps_per_epoch: number of steps in an epoch.
            steps: number of steps in the whole training.
            probe: the subject whose T2 is measured.
        """
        self._model, self._examples, self._tci, self._probe = model, examples, tci, probe
        self._batch_size, self._steps_per_epoch, self._steps = batch_size, steps_per_epoch, steps
        self._shows = log_dir is not None
        before = steps_taken(model)
        if log_dir is None:
            self._writer = tf.summary.create_noop_writer()
        else:
            # A run that starts again before its first checkpoint logs step 0 again, too.
            drop_events_after(log_dir, before or -1)
            self._writer = tf.summary.create_file_writer(str(log_dir))
        if before == 0:
            self._log_configuration(configuration)
        elif self._shows:
            print(f"resuming after step {before} of {steps}", flush=True)
        hidden = None if self._shows else True  # None: hidden unless on a terminal
        self._bar = tqdm(
            total=steps, initial=before, unit="step", desc="training", disable=hidden, delay=2
        )

    def start_epoch(self) -> None:
        """Starts the measurement of the speed."""
        self._start, self._first_step = time.monotonic(), steps_taken(self._model)

    def log_step(self, loss: float) -> None:
        """Logs loss, speed and learning rate, and early in the training the gain over TCI."""
        step = steps_taken(self._model)
        self._seconds = time.monotonic() - self._start
        self._bar.update()
        self._bar.set_postfix(loss=f"{loss:.2e}", refresh=False)
        with self._writer.as_default(step=step):
            tf.summary.scalar("training/loss", loss)
            tf.summary.scalar("training/patches_per_second", self._patches_per_second())
            rate = keras.ops.convert_to_numpy(self._model.optimizer.learning_rate)
            tf.summary.scalar("training/learning_rate", float(rate))
            if self._shows and step < self._steps_per_epoch and _is_early_step(step):
                self._log_early_gain(step)

    def log_start(self, quality: Quality) -> None:
        """Logs and prints what the network that training starts from adds to the interpolation."""
        self._log_quality(quality)
        self._print(f"before the first step: {self._measures(quality.scores)}")

    def log_epoch(self, epoch: int, loss: float, quality: Quality) -> None:
        """Logs and prints what the network adds to the interpolation after an epoch, from 1."""
        self._log_quality(quality)
        self._print(self._summary(epoch, loss, quality.scores))

    def _log_quality(self, quality: Quality) -> None:
        with self._writer.as_default(step=steps_taken(self._model)):
            for name, value in quality.scores.items():
                tci = self._tci.scores[name]
                tf.summary.scalar(f"validation/{name}", value)
                tf.summary.scalar(f"validation_tci/{name}", tci)
                tf.summary.scalar(f"gain_over_tci/{name}", _gain(name, value, tci))
            if self._shows:
                inputs, targets = self._examples
                write_patches(inputs, self._predict_examples(), targets)
            if self._probe and quality.t2_ms is not None:
                write_t2_maps(self._probe, quality.t2_ms)
        self.flush()

    def flush(self) -> None:
        """Writes what was logged to disk; to be called before a checkpoint is saved."""
        self._writer.flush()

    def close(self) -> None:
        """Closes the progress bar and the log."""
        self._bar.close()
        self._writer.close()

    def _print(self, line: str) -> None:
        if self._shows:
            self._bar.clear()
            print(line, flush=True)

    def _log_configuration(self, configuration: Mapping[str, Any]) -> None:
        scalars = (str, float, int)
        values = {k: v if isinstance(v, scalars) else str(v) for k, v in configuration.items()}
        with self._writer.as_default(step=0):
            hyperparameters.hparams(values)

    def _patches_per_second(self) -> float:
        steps = steps_taken(self._model) - self._first_step
        return steps * self._batch_size / self._seconds

    def _log_early_gain(self, step: int) -> None:
        inputs, targets = self._examples
        gain = _psnr(targets, self._predict_examples()) - _psnr(targets, inputs)
        tf.summary.scalar("gain_over_tci/psnr_of_examples", gain)
        self._bar.clear()
        print(
            f"step {step} of {self._steps}: {gain:+.2f} dB over TCI on {len(inputs)} validation "
            "patches",
            flush=True,
        )

    def _predict_examples(self) -> NDArray[np.float32]:
        """Returns the network's output for the examples; warns if it is their input."""
        inputs, _ = self._examples
        predictions = self._model(inputs, training=False).numpy()
        if np.ptp(predictions - inputs, axis=(0, 1, 2, 3)).max() < CONSTANT:
            logging.warning(
                "after %d steps the network returns its input: its units are dead and will not "
                "learn again. Start again with --overwrite and a lower --learning_rate, or with "
                "--warmup_steps",
                steps_taken(self._model),
            )
        return predictions

    def _summary(self, epoch: int, loss: float, scores: Mapping[str, float]) -> str:
        step = steps_taken(self._model)
        speed = self._patches_per_second()
        seconds_per_step = self._batch_size / speed
        remaining = timedelta(seconds=round(seconds_per_step * (self._steps - step)))
        per_epoch = timedelta(seconds=round(seconds_per_step * self._steps_per_epoch))
        return (
            f"epoch {epoch}, step {step} of {self._steps}: loss {loss:.3e}, "
            f"{self._measures(scores)}, {speed:.1f} patches/s, {per_epoch} per epoch (the paper's "
            f"{PAPER_EPOCH}), {remaining} to go"
        )

    def _measures(self, scores: Mapping[str, float]) -> str:
        tci = self._tci.scores
        measures = [
            f"{name.removeprefix('psnr_')} {value:.2f} dB ({value - tci[name]:+.2f} over TCI)"
            for name, value in scores.items()
            if name.startswith("psnr")
        ]
        if "t2_error_ms" in scores:
            t2_error, tci_error = scores["t2_error_ms"], tci["t2_error_ms"]
            measures.append(f"T2 error {t2_error:.2f} ms (TCI {tci_error:.2f})")
        return ", ".join(measures)


def drop_events_after(log_dir: Path, step: int) -> None:
    """Removes from TensorBoard's logs what lies after a step, which a resumed run logs again.

    A log that ends in the middle of an event, as a killed process leaves it, is read up to there.
    """
    for path in sorted(log_dir.rglob(EVENTS)):
        partial = path.with_name("partial")  # a name that TensorBoard does not read
        with tf.io.TFRecordWriter(str(partial)) as writer:
            try:
                for event in tf.data.TFRecordDataset(str(path)):
                    if tf.compat.v1.Event.FromString(event.numpy()).step <= step:
                        writer.write(event.numpy())
            except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
                pass  # the process died while writing the next event
        partial.replace(path)


def _is_early_step(step: int) -> bool:
    multiple, rest = divmod(step, FIRST_LOGGED_STEP)
    return rest == 0 and multiple.bit_count() == 1


def _psnr(targets: NDArray[np.float32], predictions: NDArray[np.float32]) -> float:
    return psnr_db(np.mean((np.clip(targets, 0, 1) - np.clip(predictions, 0, 1)) ** 2))


def _gain(name: str, value: float, tci: float) -> float:
    """Returns by how much a score is better than that of TCI; positive is better."""
    return value - tci if name.startswith(HIGHER_IS_BETTER) else abs(tci) - abs(value)
