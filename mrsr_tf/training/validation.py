"""Quality on the validation records, over all devices: the loss, and pSNR and SSIM per echo."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mrsr_tf.training import losses

Estimate = Callable[[tf.Tensor], tf.Tensor]


class Quality:
    """Measures estimates of the validation records' truth."""

    def __init__(
        self, strategy: tf.distribute.Strategy, batches: tf.distribute.DistributedDataset,
        contrasts: int, loss: losses.Loss,
    ) -> None:  # fmt: skip
        """Takes what `strategies.distribute` made of the validation batches, and the loss."""
        self._strategy, self._batches = strategy, batches
        self._contrasts, self._loss = contrasts, loss

    def of(self, estimate: Estimate) -> Callable[[], dict[str, float]]:
        """What measures an estimate, as often as it is called.

        Every record counts once, whatever the batches were filled up with.

        Args:
            estimate: from a batch of inputs to as many truths.

        Returns:
            A function that gives "loss", and of each echo "psnr_echo_1" (dB, peak 1, of the mean
            squared error of all records) and "ssim_echo_1", on intensities clipped to [0, 1].
        """

        @tf.function(input_signature=[self._batches.element_spec])
        def sums(batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
            on_replica = self._strategy.run(self._sums, args=(estimate, *batch))
            return self._strategy.reduce(tf.distribute.ReduceOp.SUM, on_replica, axis=None)

        def measure() -> dict[str, float]:
            records, loss, *scores = sum(sums(batch).numpy() for batch in self._batches)
            quality = {"loss": float(loss / records)}
            for echo, (mse, ssim) in enumerate(zip(scores[::2], scores[1::2], strict=True), 1):
                quality[f"psnr_echo_{echo}"] = float(-10 * np.log10(max(mse / records, 1e-12)))
                quality[f"ssim_echo_{echo}"] = float(ssim / records)
            return quality

        return measure

    def _sums(
        self, estimate: Estimate, given: tf.Tensor, truth: tf.Tensor, weight: tf.Tensor
    ) -> tf.Tensor:
        estimated = estimate(given)
        scores = [tf.ones_like(weight[:, 0, 0, 0]), self._loss(truth, estimated)]
        pair = [tf.clip_by_value(patches, 0.0, 1.0) for patches in (truth, estimated)]
        for echo in range(self._contrasts):
            one = [patches[..., echo : echo + 1] for patches in pair]
            scores += [losses.l2(*one), losses.ssim(*one)]
        real = tf.cast(tf.reshape(weight, [-1]) > 0, tf.float64)
        return tf.linalg.matvec(tf.cast(tf.stack(scores), tf.float64), real)
