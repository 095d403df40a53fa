"""What a training shows while it runs: TensorBoard's scalars and pictures, and the console.

Quality is measured on the validation records, of the network and of its input alike (the input is
the tricubic interpolation, TCI), so that every figure says what the network adds.
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

from mrsr_tf.network.architecture import space_to_depth_of
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.training.step import steps_taken
from mrsr_tf.training.t2_probe import KnownSubject, renew
from mrsr_tf.training.tensorboard_images import side_by_side, stacked
from mrsr_tf.training.validation import Quality

EXAMPLES, EXAMPLE_CANDIDATES = 4, 256
ERROR_GAIN = 4
T2_SHOWN_MS = 80
HIGHER_IS_BETTER = ("psnr", "ssim")
PAPER_EPOCH = timedelta(hours=3)  # 168,750 patches on four GTX 1080 Ti
# The first epoch may take hours: looks after 25, 50, 100, 200, ... steps of it.
FIRST_LOOK = 25
# A residual that varies less than this is the last layer's bias and float32's rounding.
CONSTANT = 1e-6


class Watch(keras.callbacks.Callback):
    """Logs the loss by step, a look at examples now and then, and the quality by epoch."""

    def __init__(
        self,
        logs: Path | None,
        quality: Quality,
        examples: tuple[NDArray[np.float32], NDArray[np.float32]],
        *,
        batch_size: int,
        steps_per_epoch: int,
        steps: int,
        known: KnownSubject | None = None,
        profile_steps: tuple[int, int] | None = None,
    ) -> None:
        """Measures the input's own quality once.

        Args:
            logs: folder for TensorBoard; None measures with the other workers and shows nothing.
            quality: on the validation records.
            examples: input and truth of the patches to show.
            batch_size: patches per training step.
            steps_per_epoch: in each epoch.
            steps: of the whole training.
            known: a subject to measure T2 on after each epoch.
            profile_steps: first and last step to profile for TensorBoard.
        """
        super().__init__()
        self._logs, self._quality, self._examples = logs, quality, examples
        self._batch_size, self._steps_per_epoch, self._steps = batch_size, steps_per_epoch, steps
        self._known = known if logs else None
        self._profile_steps, self._profiling = profile_steps or (0, 0), False
        self._writer = (
            tf.summary.create_file_writer(str(logs)) if logs else tf.summary.create_noop_writer()
        )
        self._tci = quality.of(tf.identity)()
        if self._known:
            self._tci |= _t2_scores(self._known, self._known.tci_t2_ms())

    def describe(self, configuration: Mapping[str, Any]) -> None:
        """Logs the hyper-parameters."""
        with self._writer.as_default(step=0):
            hyperparameters.hparams(
                {
                    key: value if isinstance(value, str | float | int) else str(value)
                    for key, value in configuration.items()
                    if value is not None
                }
            )

    def flush(self) -> None:
        """Puts on disk what is logged so far, so that a checkpoint never knows more than logs."""
        self._writer.flush()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the bar, at the step that a resumed run goes on from."""
        self._measured = self._quality.of(lambda given: self.model(given, training=False))
        if self._known:
            self._resolver = SuperResolver(
                self.model.get_weights(), self._known.slice_factor, space_to_depth_of(self.model)
            )
        before = steps_taken(self.model)
        if before and self._logs:
            print(f"goes on after step {before} of {self._steps}", flush=True)
        self._bar = tqdm(
            total=self._steps,
            initial=before,
            unit="step",
            desc="training",
            disable=None if self._logs else True,
            delay=2,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self._started, self._first_step = time.monotonic(), steps_taken(self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Logs the step."""
        step = steps_taken(self.model)
        self._bar.update()
        self._bar.set_postfix(loss=f"{logs['loss']:.2e}", refresh=False)
        with self._writer.as_default(step=step):
            tf.summary.scalar("training/loss", logs["loss"])
            tf.summary.scalar("training/patches_per_second", self._speed())
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            tf.summary.scalar("training/learning_rate", float(rate))
            if self._logs and _is_look(step) and step < self._steps_per_epoch:
                self._look()
        self._profile(step)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Measures, logs and prints what the network adds; leaves its quality in `logs`."""
        speed = self._speed()
        quality = self._measured()
        with self._writer.as_default(step=steps_taken(self.model)):
            if self._known:
                renew(self._resolver, self.model.get_weights())
                t2_ms = self._known.t2_ms(self._resolver)
                quality |= _t2_scores(self._known, t2_ms)
                self._write_t2_maps(self._known, t2_ms)
            for name, value in quality.items():
                tf.summary.scalar(f"validation/{name}", value)
                tf.summary.scalar(f"validation_tci/{name}", self._tci[name])
                tf.summary.scalar(f"gain_over_tci/{name}", _gain(name, value, self._tci[name]))
            if self._logs:
                self._write_pictures()
        self.flush()
        if self._logs:
            self._bar.clear()
            print(self._summary(epoch, logs["loss"], quality, speed), flush=True)
        logs |= quality

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Closes the bar and the log."""
        self._stop_profiling()
        self._bar.close()
        self._writer.close()

    def _speed(self) -> float:
        steps = steps_taken(self.model) - self._first_step
        return steps * self._batch_size / (time.monotonic() - self._started)

    def _profile(self, step: int) -> None:
        first, last = self._profile_steps
        if self._logs and step == first - 1:
            tf.profiler.experimental.start(str(self._logs))
            self._profiling = True
        elif step == last:
            self._stop_profiling()

    def _stop_profiling(self) -> None:
        if self._profiling:
            tf.profiler.experimental.stop()
            self._profiling = False

    def _look(self) -> None:
        given, truth = self._examples
        output = self._examined()
        gain = float(_psnr(truth, output) - _psnr(truth, given))
        tf.summary.scalar("gain_over_tci/psnr_of_examples", gain)
        self._bar.clear()
        print(
            f"step {steps_taken(self.model)} of {self._steps}: {gain:+.2f} dB over TCI on "
            f"{len(given)} validation patches",
            flush=True,
        )

    def _examined(self) -> NDArray[np.float32]:
        """The network's output for the examples; warns where it is their input."""
        given, _ = self._examples
        output = self.model(given, training=False).numpy()
        if np.ptp(output - given, axis=(0, 1, 2, 3)).max() < CONSTANT:
            logging.warning(
                "after %d steps the network gives back its input: its units are dead and will not "
                "learn again. Start anew with --overwrite and a lower --learning_rate, or let it "
                "rise by --warmup_steps",
                steps_taken(self.model),
            )
        return output

    def _summary(self, epoch: int, loss: float, quality: dict[str, float], speed: float) -> str:
        gains = [
            f"{name.removeprefix('psnr_')} {value:.2f} dB ({value - self._tci[name]:+.2f} over TCI)"
            for name, value in quality.items()
            if name.startswith("psnr")
        ]
        if self._known:
            t2, tci = (scores["t2_error_ms"] for scores in (quality, self._tci))
            gains.append(f"T2 off by {t2:.2f} ms (TCI {tci:.2f})")
        seconds = self._batch_size / speed  # per step
        left = timedelta(seconds=round(seconds * (self._steps - steps_taken(self.model))))
        whole = timedelta(seconds=round(seconds * self._steps_per_epoch))
        return (
            f"epoch {epoch + 1}, step {steps_taken(self.model)} of {self._steps}: loss {loss:.3e}, "
            f"{', '.join(gains)}, {speed:.1f} patches/s, {whole} per epoch (the paper's "
            f"{PAPER_EPOCH}), {left} to go"
        )

    def _write_pictures(self) -> None:
        given, truth = self._examples
        output = self._examined()
        error = f"{ERROR_GAIN} x error"
        for echo in range(given.shape[-1]):
            images = {"TCI": given, "network": output, "truth": truth}
            images[error] = ERROR_GAIN * np.abs(output - truth)
            picture = side_by_side(
                {name: stacked(image[..., echo]) for name, image in images.items()},
                1.0,
                colours="gray",
                unit="share of the subject's scale",
            )
            tf.summary.image(f"validation/echo_{echo + 1}", picture[None])

    def _write_t2_maps(self, known: KnownSubject, t2_ms: NDArray[np.floating]) -> None:
        maps = {"TCI": known.tci_t2_ms(), "network": t2_ms, "truth": known.true_t2_ms}
        planes = {name: known.plane(t2) for name, t2 in maps.items()}
        picture = side_by_side(planes, T2_SHOWN_MS, colours="viridis", unit="T2 in cartilage, ms")
        tf.summary.image("validation/t2", picture[None])


def examples(batches: tf.data.Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The most structured of the first patches, as input and truth."""
    pairs = [(given, truth) for given, truth, _ in batches.unbatch().take(EXAMPLE_CANDIDATES)]
    pairs.sort(key=lambda pair: float(tf.math.reduce_std(pair[1])), reverse=True)
    given, truth = zip(*pairs[:EXAMPLES], strict=True)
    return np.stack(given), np.stack(truth)


def drop_events_after(logs: Path, step: int) -> None:
    """Removes from TensorBoard's logs what lies beyond a step, which a resumed run logs again.

    A log that ends in the middle of an event, as a killed process leaves it, is read up to there.
    """
    for path in sorted(logs.rglob("events.out.tfevents.*")):
        partial = path.with_name("partial")  # a name that TensorBoard does not read
        with tf.io.TFRecordWriter(str(partial)) as writer:
            try:
                for event in tf.data.TFRecordDataset(str(path)):
                    if tf.compat.v1.Event.FromString(event.numpy()).step <= step:
                        writer.write(event.numpy())
            except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
                pass  # what follows was being written when the process died
        partial.replace(path)


def _is_look(step: int) -> bool:
    looks, rest = divmod(step, FIRST_LOOK)
    return rest == 0 and looks.bit_count() == 1


def _psnr(truth: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    difference = np.clip(truth, 0, 1) - np.clip(estimate, 0, 1)
    return float(-10 * np.log10(max(float(np.mean(difference**2)), 1e-12)))


def _gain(name: str, value: float, tci: float) -> float:
    """How much better than TCI, so that more is better for errors too."""
    return value - tci if name.startswith(HIGHER_IS_BETTER) else abs(tci) - abs(value)


def _t2_scores(known: KnownSubject, t2_ms: NDArray[np.floating]) -> dict[str, float]:
    return {f"t2_{name}": value for name, value in known.errors(t2_ms).items()}
