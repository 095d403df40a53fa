"""What a training shows while it runs: TensorBoard's scalars and pictures, and the console.

Quality is measured on the validation records, of the network and of its input alike (the input is
the tricubic interpolation, TCI), so that every figure says what the network adds.
"""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

EXAMPLES, EXAMPLE_CANDIDATES, ZOOM = 4, 256, 6
DIFFERENCE_GAIN = 4


class Watch(keras.callbacks.Callback):
    """Logs the training loss by step, and the quality on the validation records by epoch."""

    def __init__(
        self,
        network: keras.Model,
        logs: Path,
        validation: tf.data.Dataset,
        batch_size: int,
        steps: int,
    ) -> None:
        """Measures the input's own quality once; to be made in the network's strategy scope.

        Args:
            network: the one that is trained.
            logs: folder for TensorBoard.
            validation: batches of (input, truth, weight).
            batch_size: patches per training step.
            steps: of the whole training.
        """
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(logs))
        self._validation, self._batch_size, self._steps = validation, batch_size, steps
        contrasts = network.input_shape[-1]
        tci = keras.Input(network.input_shape[1:])
        self._network_quality = _Quality(network.input, network.output, contrasts)
        self._tci = _Quality(tci, keras.layers.Identity()(tci), contrasts)(validation)
        self._examples = _examples(validation)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the clock and the bar, at the step that a resumed run goes on from."""
        self._started, self._first_step = time.monotonic(), self._step()
        self._bar = tqdm(
            total=self._steps,
            initial=self._step(),
            unit="step",
            desc="training",
            disable=None,
            delay=2,
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Logs the step."""
        self._bar.update()
        self._bar.set_postfix(loss=f"{logs['loss']:.2e}", refresh=False)
        with self._writer.as_default(step=self._step()):
            tf.summary.scalar("training/loss", logs["loss"])
            tf.summary.scalar("training/patches_per_second", self._speed())

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Measures, logs and prints what the network adds to its input."""
        speed = self._speed()
        quality = self._network_quality(self._validation)
        with self._writer.as_default(step=self._step()):
            for name, value in quality.items():
                tf.summary.scalar(f"validation/{name}", value)
                tf.summary.scalar(f"validation_tci/{name}", self._tci[name])
                tf.summary.scalar(f"gain_over_tci/{name}", value - self._tci[name])
            self._write_pictures()
        self._writer.flush()
        self._bar.close()
        print(self._summary(epoch, logs["loss"], quality, speed), flush=True)

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _speed(self) -> float:
        steps = self._step() - self._first_step
        return steps * self._batch_size / (time.monotonic() - self._started)

    def _summary(self, epoch: int, loss: float, quality: dict[str, float], speed: float) -> str:
        gains = [
            f"{name.removeprefix('psnr_')} {value:.2f} dB ({value - self._tci[name]:+.2f} over TCI)"
            for name, value in quality.items()
            if name.startswith("psnr")
        ]
        return (
            f"epoch {epoch + 1}, step {self._step()} of {self._steps}: loss {loss:.3e}, "
            f"{', '.join([*gains, f'{speed:.1f} patches/s'])}"
        )

    def _write_pictures(self) -> None:
        given, truth = self._examples
        output = self.model(given, training=False).numpy()
        for echo in range(given.shape[-1]):
            panels = [given, output, truth, DIFFERENCE_GAIN * np.abs(output - truth)]
            picture = _mosaic([panel[..., echo] for panel in panels])
            tf.summary.image(
                f"validation/echo_{echo + 1}",
                picture[None, ..., None],
                description=f"row x slice planes: input, output, truth, {DIFFERENCE_GAIN}x error",
            )


class _Quality:
    """pSNR and SSIM of a network's output, per echo, on whatever devices its strategy has."""

    def __init__(
        self, given: keras.KerasTensor, estimate: keras.KerasTensor, contrasts: int
    ) -> None:
        self._network = keras.Model(given, estimate)
        metrics = [make(echo) for echo in range(contrasts) for make in (_mse, _ssim)]
        self._network.compile(weighted_metrics=metrics, loss="mse", jit_compile=False)

    def __call__(self, batches: tf.data.Dataset) -> dict[str, float]:
        measured = self._network.evaluate(batches, verbose=0, return_dict=True)
        quality = {"loss": measured["loss"]}
        for name, value in measured.items():
            if name.startswith("mse_"):
                quality[name.replace("mse", "psnr")] = -10 * np.log10(max(value, 1e-12))
            elif name.startswith("ssim_"):
                quality[name] = value
        return quality


def _mse(echo: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def mse(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
        error = _echo(truth, echo) - _echo(estimate, echo)
        return tf.reduce_mean(error**2, axis=[1, 2, 3], keepdims=True)

    mse.__name__ = f"mse_echo_{echo + 1}"
    return mse


def _ssim(echo: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def ssim(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
        planes = [
            tf.transpose(_echo(patches, echo), [0, 3, 1, 2])[..., None]
            for patches in (truth, estimate)
        ]
        by_slice = tf.image.ssim(*planes, max_val=1.0)
        return tf.reduce_mean(by_slice, axis=1)[:, None, None, None]

    ssim.__name__ = f"ssim_echo_{echo + 1}"
    return ssim


def _echo(patches: tf.Tensor, echo: int) -> tf.Tensor:
    return tf.clip_by_value(patches[..., echo], 0.0, 1.0)


def _examples(batches: tf.data.Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The most structured of the first patches, as input and truth."""
    pairs = [(given, truth) for given, truth, _ in batches.unbatch().take(EXAMPLE_CANDIDATES)]
    pairs.sort(key=lambda pair: float(tf.math.reduce_std(pair[1])), reverse=True)
    given, truth = zip(*pairs[:EXAMPLES], strict=True)
    return np.stack(given), np.stack(truth)


def _mosaic(panels: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(rows, cols) picture: a row per example, a column per panel, middle row x slice planes."""
    columns = [np.concatenate(panel[:, :, panel.shape[2] // 2]) for panel in panels]
    return np.kron(np.clip(np.concatenate(columns, 1), 0, 1), np.ones((ZOOM, ZOOM)))
