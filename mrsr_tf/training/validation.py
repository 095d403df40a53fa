"""Quality of the network and of its input on the validation records, over all devices."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.training import losses
from mrsr_tf.training.t2_probe import T2Probe

Predict = Callable[[tf.Tensor], tf.Tensor]
Sums = Callable[[tuple[tf.Tensor, ...]], tf.Tensor]
SMALLEST_MSE = 1e-12
HIGHER_IS_BETTER = ("psnr", "ssim")  # the beginnings of the names of such scores


@dataclass(frozen=True)
class Quality:
    """Quality of the predictions.

    Attributes:
        scores: "loss"; of each echo "psnr_echo_1" (dB, peak 1, of the mean squared error over all
            records) and "ssim_echo_1", on intensities clipped to [0, 1]; with a T2 probe also
            "t2_difference_ms", "t2_error_ms" and "t2_invalid".
        t2_ms: (rows, cols, slices) T2 of the probe, if there is one.
    """

    scores: dict[str, float]
    t2_ms: NDArray[np.floating] | None = None


def psnr_db(mse: float | np.floating) -> float:
    """Returns the pSNR of a mean squared error, for a peak of 1."""
    return float(-10 * np.log10(max(mse, SMALLEST_MSE)))


class Validator:
    """Measures the network in training, and the tricubic interpolation (TCI) that is its input."""

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        batches: tf.distribute.DistributedDataset,
        loss: losses.LossFunction,
        probe: T2Probe | None = None,
    ) -> None:
        """Takes the network and the validation batches of `distribution.distribute`."""
        self._model, self._strategy, self._batches = model, strategy, batches
        self._loss, self._probe = loss, probe
        self._network_sums = self._sums(lambda inputs: model(inputs, training=False))

    def measure(self) -> Quality:
        """Measures the network."""
        t2_ms = self._probe.network_t2_ms(self._model) if self._probe else None
        return self._quality(self._network_sums, t2_ms)

    def measure_tci(self) -> Quality:
        """Measures the interpolation."""
        t2_ms = self._probe.tci_t2_ms() if self._probe else None
        return self._quality(self._sums(tf.identity), t2_ms)

    def _quality(self, sums: Sums, t2_ms: NDArray[np.floating] | None) -> Quality:
        # Every record counts once, whatever the batches were padded with.
        records, loss, *by_echo = sum(sums(batch).numpy() for batch in self._batches)
        scores = {"loss": float(loss / records)}
        for echo, (mse, ssim) in enumerate(zip(by_echo[::2], by_echo[1::2], strict=True), 1):
            scores[f"psnr_echo_{echo}"] = psnr_db(mse / records)
            scores[f"ssim_echo_{echo}"] = float(ssim / records)
        if self._probe and t2_ms is not None:
            errors = self._probe.errors(t2_ms)
            scores |= {f"t2_{name}": value for name, value in errors.items()}
        return Quality(scores, t2_ms)

    def _sums(self, predict: Predict) -> Sums:
        """Returns what sums the measures of a batch over its records and all devices."""

        @tf.function(input_signature=[self._batches.element_spec])
        def sums(batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
            on_replica = self._strategy.run(self._replica_sums, args=(predict, *batch))
            return self._strategy.reduce(tf.distribute.ReduceOp.SUM, on_replica, axis=None)

        return sums

    def _replica_sums(
        self, predict: Predict, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        predictions = predict(inputs)
        measures = [tf.ones_like(weights[:, 0, 0, 0]), self._loss(targets, predictions)]
        clipped = [tf.clip_by_value(patches, 0.0, 1.0) for patches in (targets, predictions)]
        for echo in range(targets.shape[-1]):
            pair = [patches[..., echo : echo + 1] for patches in clipped]
            measures += [losses.l2(*pair), losses.ssim(*pair)]
        is_record = tf.cast(tf.reshape(weights, [-1]) > 0, tf.float64)
        return tf.linalg.matvec(tf.cast(tf.stack(measures), tf.float64), is_record)
