"""One training step on any number of devices, and its optimizer.

Keras 3's `fit` trains neither on several machines nor with batches that do not divide among the
devices. This step, on the same Keras model and optimizer, does both, and is the same for one
device.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from mrsr_tf.network.precision import Precision
from mrsr_tf.training.config import Schedule, TrainingConfig
from mrsr_tf.training.losses import LossFunction

# Gradients of the mean over a batch of 50 patches are about 1e-9 per voxel, below float16's 6e-8.
FLOAT16_LOSS_SCALE = 2.0**14
WARMUP_START = 0.01  # of the learning rate


def make_optimizer(config: TrainingConfig, steps: int) -> keras.optimizers.Optimizer:
    """Creates Adam for a training of `steps` steps.

    The learning rate rises linearly from a hundredth during the warm-up. With `COSINE` it then
    falls to 0, which it reaches at the last step.
    """
    cosine = config.schedule == Schedule.COSINE
    peak, warmup_steps = config.learning_rate, config.warmup_steps
    rate: float | keras.optimizers.schedules.LearningRateSchedule = peak
    if cosine or warmup_steps:
        rate = keras.optimizers.schedules.CosineDecay(
            WARMUP_START * peak if warmup_steps else peak,
            max(steps - warmup_steps, 1),
            alpha=0.0 if cosine else 1.0,
            warmup_target=peak if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    return keras.optimizers.Adam(
        rate,
        use_ema=config.ema > 0,
        ema_momentum=config.ema,
        loss_scale_factor=FLOAT16_LOSS_SCALE if config.precision == Precision.FLOAT16 else None,
    )


class TrainingStep:
    """Takes one step of the optimizer on a batch that is spread over all replicas."""

    def __init__(
        self, strategy: tf.distribute.Strategy, model: keras.Model, loss: LossFunction
    ) -> None:
        """Takes a model that was compiled with its optimizer in the scope of the strategy."""
        self._strategy, self._model, self._loss = strategy, model, loss
        self._distributed = tf.function(self._run, reduce_retracing=True)

    def __call__(self, batch: tuple[tf.Tensor, ...]) -> float:
        """Updates the weights and returns the loss before, the mean over the batch's patches.

        Args:
            batch: (inputs, targets, weights) per replica, as of `distribution.distribute`.
        """
        return float(self._distributed(batch))

    def _run(self, batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
        losses = self._strategy.run(self._on_replica, args=batch)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _on_replica(self, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            by_patch = self._loss(targets, self._model(inputs, training=True))
            mean = tf.reduce_mean(tf.reshape(weights, [-1]) * by_patch)
            loss = mean / self._strategy.num_replicas_in_sync
            scaled = self._model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self._model.trainable_variables)
        # Sums the gradients of all replicas.
        self._model.optimizer.apply(gradients, self._model.trainable_variables)
        return loss


def steps_taken(model: keras.Model) -> int:
    """Returns how many steps the optimizer of a model has taken, before interruptions too."""
    return int(model.optimizer.iterations.numpy())


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Within the block the model has its weights' moving average, if its optimizer keeps one."""
    weights = model.get_weights()
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        model.set_weights(weights)
