"""One training step on any number of devices, and the optimizer that takes it.

`fit` of Keras 3 can neither train on several machines nor on batches that do not divide among the
devices; this step, on the same model and optimizer, does both, and is the same for one device.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from mrsr_tf.training.losses import Loss

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
# Gradients of the mean over a batch of 50 patches are some 1e-9 per voxel, below float16's 6e-8.
FLOAT16_LOSS_SCALE = 2.0**14
FIRST_WARMUP_RATE = 0.01


def make_optimizer(
    learning_rate: float,
    steps: int,
    *,
    schedule: str = "constant",
    warmup_steps: int = 0,
    ema: float = 0.0,
    precision: str = "float32",
) -> keras.optimizers.Optimizer:
    """Adam, as the paper has it, or with a schedule.

    Args:
        learning_rate: the highest.
        steps: of the whole training.
        schedule: "constant", or "cosine": from the highest to 0 at the last step.
        warmup_steps: rise linearly from a hundredth of the learning rate over so many steps.
        ema: momentum of the weights' moving average; 0: none.
        precision: of `PRECISIONS`.
    """
    rate: float | keras.optimizers.schedules.LearningRateSchedule = learning_rate
    if schedule == "cosine" or warmup_steps:
        rate = keras.optimizers.schedules.CosineDecay(
            FIRST_WARMUP_RATE * learning_rate if warmup_steps else learning_rate,
            max(steps - warmup_steps, 1),
            alpha=0.0 if schedule == "cosine" else 1.0,
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    return keras.optimizers.Adam(
        rate,
        use_ema=ema > 0,
        ema_momentum=ema,
        loss_scale_factor=FLOAT16_LOSS_SCALE if precision == "float16" else None,
    )


class Step:
    """Takes one step of the optimizer on a batch spread over all replicas."""

    def __init__(
        self, strategy: tf.distribute.Strategy, model: keras.Model, loss: Loss, *, xla: bool = False
    ) -> None:
        """Readies the step.

        Args:
            strategy: in whose scope `model` and its optimizer were made.
            model: compiled with its optimizer.
            loss: by patch.
            xla: compile forward and backward pass by XLA.
        """
        self._strategy, self._model, self._loss = strategy, model, loss
        self._gradients = (
            tf.function(self._differentiate, jit_compile=True) if xla else self._differentiate
        )
        self._distributed = tf.function(self._run, reduce_retracing=True)

    def __call__(self, batch: tuple[tf.Tensor, ...]) -> float:
        """Changes the weights; returns the loss before, the mean over the batch's own patches.

        Args:
            batch: (input, truth, weight) per replica, as `strategies.distribute` gives them.
        """
        return float(self._distributed(batch))

    def _run(self, batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
        losses = self._strategy.run(self._on_replica, args=batch)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _on_replica(self, given: tf.Tensor, truth: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        loss, gradients = self._gradients(given, truth, weight)
        self._model.optimizer.apply(gradients, self._model.trainable_variables)  # sums them
        return loss

    def _differentiate(
        self, given: tf.Tensor, truth: tf.Tensor, weight: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            by_patch = self._loss(truth, self._model(given, training=True))
            mean = tf.reduce_mean(tf.reshape(weight, [-1]) * by_patch)
            loss = mean / self._strategy.num_replicas_in_sync
            scaled = self._model.optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, self._model.trainable_variables)


def steps_taken(model: keras.Model) -> int:
    """How many steps the optimizer of a model has taken, in all the calls of its training."""
    return int(model.optimizer.iterations.numpy())


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """The model has its weights' moving average inside, where its optimizer keeps one."""
    now = model.get_weights()
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        model.set_weights(now)
